"""Where the seconds go until a command has done its work once: `cimnet --help`, `predict` on one pair, `serve`.

    python benchmarks/startup.py [--model cimnet_efficientnet_lite0] [--repeats 5] [--before OTHER/CHECKOUT/src]

Prints CPU seconds (user + system, medians) of fresh processes with one thread, which a busy machine changes less than
the clock. --before: the same with another checkout's package, in turn with this one's. Writes the key `startup` of
docs/evidence/speed.json.
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

import httpx

from cimnet.data.synthetic import synthesize
from cimnet.deploy.export.write import export
from cimnet.utils.tables import markdown_table
from evidence import record
from speed import untrained

HERE = Path(__file__).resolve().parent.parent / "src"
COMMAND = [sys.executable, "-m", "cimnet.cli"]
PHASES = """
import json, sys, time
laps, last = {}, 0.0
def lap(name):
    global last
    laps[name], last = time.process_time() - last, time.process_time()
lap("Python")
import torch; lap("import torch")
import cimnet.inference.jobs; lap("import the package")
if sys.argv[1].endswith(".safetensors"):
    import timm; lap("import timm, torchvision")
    from cimnet.models import create_model
else:
    import cimnet.inference.backends.runtime; lap("import the package's backends")
import cimnet
if not sys.argv[2:]:
    from cimnet.deploy.serve import ServeOptions, create_app; lap("import the server's libraries")
predictor = cimnet.load(sys.argv[1]); lap("open the model")
if sys.argv[2:]:
    predictor.predict(*sys.argv[2:]); lap("first mask")
    predictor.predict(*sys.argv[2:]); lap("second mask")
else:
    create_app(predictor, ServeOptions()); lap("routes and checks")
print(json.dumps(laps))
"""
"""A model and a pair: what `predict` does. A model alone: what `serve` does before it listens."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="cimnet_efficientnet_lite0")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--before", type=Path, help="folder src of another checkout")
    options = parser.parse_args()
    sources = {"now": HERE} | ({"before": options.before.resolve()} if options.before else {})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models, pair = prepare(options.model, folder)
        commands = {"cimnet --help": lambda source: cpu_of(["--help"], source)}
        for kind, model in models.items():
            commands[f"cimnet predict, {kind}"] = predicting(model, pair, folder / "out")
            commands[f"cimnet serve until ready, {kind}"] = serving(model)
        seconds = {what: {label: [] for label in sources} for what in commands}
        given = {"predict": pair, "serve": ()}
        phases = {f"cimnet {verb}, {kind}": [] for verb in given for kind in models}
        for _ in range(options.repeats):
            for what, command in commands.items():
                for label, source in sources.items():
                    seconds[what][label].append(command(source))
            for verb, images in given.items():
                for kind, model in models.items():
                    phases[f"cimnet {verb}, {kind}"].append(laps(model, images))
    report(seconds, phases, list(sources))


def prepare(name: str, folder: Path) -> tuple[dict[str, Path], tuple[Path, Path]]:
    """Files of one model with random weights, by kind, and a pair of 320×256 pixels."""
    checkpoint = untrained(name, folder)
    models = {"checkpoint": checkpoint, "ONNX": folder / "a.onnx", "OpenVINO bfloat16": folder / "b.xml"}
    export(checkpoint, models["ONNX"], "onnx")
    export(checkpoint, models["OpenVINO bfloat16"], "openvino", precision="bfloat16")
    synthesize(folder / "data", train=0, val=0, test=1, size=(256, 320))
    rgb = next((folder / "data" / "RGB").iterdir())
    return models, (rgb, folder / "data" / "TIR" / rgb.name)


def cpu_of(arguments: list[str], source: Path) -> float:
    """CPU seconds of a command that ends by itself."""
    process = subprocess.Popen([*COMMAND, *arguments], env=environment(source), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{arguments}: exit code {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def predicting(model: Path, pair: tuple[Path, Path], out: Path) -> Callable[[Path], float]:
    rgb, thermal = map(str, pair)
    arguments = ["predict", str(model), "--rgb", rgb, "--thermal", thermal, "--out", str(out), "--overwrite"]
    return lambda source: cpu_of(arguments, source)


def serving(model: Path) -> Callable[[Path], float]:
    """CPU seconds of a server until /health says that it is ready."""

    def start(source: Path) -> float:
        command = [*COMMAND, "serve", str(model), "--port", "0"]
        process = subprocess.Popen(
            command, env=environment(source), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdout is not None
        try:
            address = process.stdout.readline().split()[-1]
            while not is_ready(address):
                time.sleep(0.02)
            return used(process.pid)
        finally:
            process.terminate()
            process.wait(60)

    return start


def is_ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health").status_code == 200
    except httpx.TransportError:
        return False


def used(pid: int) -> float:
    """CPU seconds of a process so far, all threads (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def laps(model: Path, images: tuple[Path, ...]) -> dict[str, float]:
    """CPU seconds by phase, of this checkout's package."""
    command = [sys.executable, "-c", PHASES, str(model), *map(str, images)]
    done = subprocess.run(command, env=environment(HERE), capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def environment(source: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}


def report(
    seconds: dict[str, dict[str, list[float]]], phases: dict[str, list[dict[str, float]]], labels: list[str]
) -> None:
    commands = {
        what: {label: round(statistics.median(values), 2) for label, values in by_label.items()}
        for what, by_label in seconds.items()
    }
    parts = {
        what: {name: round(statistics.median(found[name] for found in runs), 2) for name in runs[0]}
        for what, runs in phases.items()
    }
    print(markdown_table(["CPU seconds", *labels], [[what, *found.values()] for what, found in commands.items()]))
    for what, found in parts.items():
        print(markdown_table([what, "CPU seconds"], [list(row) for row in found.items()]))
    record("startup", {"cpu_seconds": commands, "phases": parts})


if __name__ == "__main__":
    main()
