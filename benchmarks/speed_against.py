"""How fast this version is beside another one: both run in the same minutes, in processes of their own, in turn.

    git worktree add --detach /tmp/speed-base b263845
    OMP_NUM_THREADS=2 python benchmarks/speed_against.py /tmp/speed-base [--model cimnet_resnet101] [--rounds 7]
        [--rows plain,predictor,openvino,openvino_float32,openvino_int8,step,bare] [--calibration data/scenes]
        [--record]

The rows: `plain` calls the model as `create_model` gives it; `predictor` is what `cimnet.load` runs; `openvino` is the
file that `cimnet export --bf16` writes (float32 first stages), `openvino_float32` and `openvino_int8` those without and
with `--int8`, whose ranges come from the data set of --calibration; `compiled` is `torch.compile` of the network that
`predictor` runs; `step` is a training step at 240×320, batch 2, and `bare` that of the two encoders alone. Medians; the
yardstick is the other version's `plain`, for steps its `bare` (its own step is a row, too). CPU seconds of all threads
stand beside wall seconds, because other processes disturb them less. The share of the machine's peak divides the
multiplications of a pass by those of a large matrix product in the same minutes, in float32.
`--record` writes the ratios into docs/evidence/speed.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

CLASSES, SIZE, STEP_SIZE, STEP_BATCH = 9, (480, 640), (240, 320), 2
ROWS = ("plain", "predictor", "openvino", "step", "bare")
PRECISIONS = {"openvino": "bfloat16", "openvino_float32": "float32", "openvino_int8": "int8"}
HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path, nargs="?", help="checkout of the other version")
    parser.add_argument("--model", default="cimnet_resnet101")
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--calibration", type=Path, help="data set with a split train, for openvino_int8")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--scripts", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        serve(options)
        return
    if "openvino_int8" in options.rows and options.calibration is None:
        parser.error("openvino_int8 needs --calibration")
    if options.base is None:
        parser.error("give the checkout of the other version")
    report(options, measure(options))


def measure(options: argparse.Namespace) -> dict[tuple[str, str], dict[str, float]]:
    """Median wall and CPU seconds of each row of both versions, and of the matrix product."""
    rows = options.rows.split(",")
    yardsticks = [row for row in ("plain", "bare") if any(_yardstick(other) == row for other in rows)]
    if "step" in rows:
        yardsticks.append("step")
    children = {("base", row): Child(options.base, row, options) for row in yardsticks}
    children |= {("here", row): Child(HERE.parent, row, options) for row in rows}
    children[("both", "matrix")] = Child(HERE.parent, "matrix", options)
    times: dict[tuple[str, str], list[dict[str, float]]] = {key: [] for key in children}
    try:
        for (version, row), child in children.items():
            first = child.run()  # warms up
            print(f"{version} {row}, first run: {first['wall']:.1f} s, {first['cpu']:.1f} CPU s", flush=True)
        for _ in range(options.rounds):
            for key, child in children.items():
                times[key].append(child.run())
    finally:
        for child in children.values():
            child.close()
    return {
        key: {kind: statistics.median(run[kind] for run in runs) for kind in ("wall", "cpu")}
        for key, runs in times.items()
    }


def report(options: argparse.Namespace, found: dict[tuple[str, str], dict[str, float]]) -> None:
    """Print the table, and record it if that is asked."""
    from cimnet.models import create_model
    from cimnet.models.complexity import measure_budget
    from cimnet.utils.tables import markdown_table
    from evidence import record

    macs = measure_budget(create_model(options.model, CLASSES), SIZE).macs_run
    rate = PRODUCT**3 / found["both", "matrix"]["wall"]
    ratios: dict[str, dict[str, float]] = {}
    for version, row in found:
        if version == "both":
            continue
        seconds, yardstick = found[version, row], found["base", _yardstick(row)]
        entry = {kind: round(seconds[kind] / yardstick[kind], 3) for kind in ("wall", "cpu")}
        if row not in ("step", "bare"):
            entry["pairs_per_second"] = round(1 / seconds["wall"], 2)
            if version == "here":
                entry["share_of_peak"] = round(macs / seconds["wall"] / rate, 2)
        ratios[f"{version} {row}"] = entry
    columns = ["wall", "cpu", "pairs_per_second", "share_of_peak"]
    table = [[name, *(f"{entry[c]:.2f}" if c in entry else "" for c in columns)] for name, entry in ratios.items()]
    print(f"{options.model}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}, {rate / 1e9:.0f} GMAC/s")
    print(markdown_table(["", "wall", "CPU", "pairs/s", "share of the float32 peak"], table), end="", flush=True)
    if options.record:
        kind = "_step" if _yardstick(options.rows.split(",")[0]) == "bare" else ""
        record(f"against_b263845_{options.model}{kind}", {"ratios": ratios, "peak_gmac_per_s": round(rate / 1e9)})


def _yardstick(row: str) -> str:
    return "bare" if row in ("step", "bare") else "plain"


class Child:
    """A process that runs one row of one version each time it is asked."""

    def __init__(self, tree: Path, row: str, options: argparse.Namespace) -> None:
        path = os.pathsep.join([str(tree / "src"), str(HERE)])
        command = [sys.executable, __file__, "--child", row, "--model", options.model]
        command += ["--scripts", str(tree / "benchmarks")]
        if row == "openvino_int8":
            command += ["--calibration", str(options.calibration)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, **pipes)

    def run(self) -> dict[str, float]:
        """Wall and CPU seconds of one run."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


def serve(options: argparse.Namespace) -> None:
    """Run a row for each line that comes in, and print what it took."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        call = prepare(options.child, options, Path(folder))
        for _ in sys.stdin:
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}), flush=True)


PRODUCT = 2048


def prepare(row: str, options: argparse.Namespace, folder: Path) -> Callable[[], object]:
    """What a row runs. `plain` uses only what both versions have, `step` and `bare` the scripts of the version."""
    if row == "matrix":
        a, b = torch.rand(2, PRODUCT, PRODUCT)
        return lambda: a @ b
    if row in ("step", "bare"):
        sys.path.insert(0, options.scripts)
        from train_step import random_batch, stepper

        encoder = options.model.partition("_")[2]
        return stepper("cimnet" if row == "step" else "bare", encoder, random_batch(STEP_SIZE, STEP_BATCH))
    rgb, thermal = torch.rand(1, 3, *SIZE), torch.rand(1, 1, *SIZE)
    if row == "plain":
        from cimnet.models import create_model

        model = create_model(options.model, CLASSES).eval()
        for parameter in model.parameters():
            if not parameter.any():  # training begins there at zero; offsets are not zero then
                torch.nn.init.normal_(parameter, std=0.02)
        return torch.inference_mode()(lambda: model(rgb, thermal).logits)
    import cimnet
    from speed import untrained

    file = untrained(options.model, folder, options.calibration)
    if row in PRECISIONS:
        from cimnet.deploy.export.write import export

        precision, exported = PRECISIONS[row], folder / "model.xml"
        calibration = options.calibration if precision == "int8" else None
        export(cimnet.load(file, "cpu"), exported, "openvino", precision=precision, calibration=calibration)
        file = exported
    predictor = cimnet.load(file)
    if row == "compiled":
        from cimnet.models.folding import fold_for_inference

        compiled = torch.compile(fold_for_inference(predictor.network))  # channels last, as the network
        return torch.inference_mode()(lambda: compiled(rgb, thermal).logits)

    def call() -> Tensor:
        return predictor.logits(rgb, thermal)

    return call


if __name__ == "__main__":
    main()
