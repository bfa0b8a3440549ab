"""The published networks and CIMNet side by side on one CPU: seconds, memory and share of the machine's peak.

    OMP_NUM_THREADS=2 python benchmarks/zoo_speed.py [--networks 'cmx*,cimnet_resnet101'] [--forms eager,step]

The forms: `eager` is one pair of 480×640 in float32 with random weights, by the predictor's own copy (folded, channels
last); `onnx`, `openvino`, `bfloat16` and `int8` are the same by the files that `cimnet export` writes (the last two for
OpenVINO, with float32 first stages; int8 takes its ranges from eight synthetic scenes); `step` is a training step at
240×320, batch 2. Each runs in a process of its own, between two eager runs (steps: two steps) of CIMNet-R101, so that a
machine that is busier for one is busier for both: seconds are given as a share of CIMNet-R101's in the same minute.
Writes docs/evidence/zoo_speed.json after each, and the page docs/notebook/zoo.md at the end
(benchmarks/zoo_page.py does it alone); what stands in the file is left out unless --again is given.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cimnet.utils.files import write_text
from cimnet.utils.memory import peak_memory
from evidence import circumstances, read
from zoo_page import SPEED, YARDSTICK, write_page

if TYPE_CHECKING:
    from cimnet.models.base import RGBTModel

FORMS = ("eager", "onnx", "openvino", "bfloat16", "int8", "step")
Found = dict[str, Any]
"""What :func:`run_one` measured."""
OURS = (YARDSTICK, "cimnet_mit_b2", "cimnet_mit_b4", "cimnet_efficientnet_lite0")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="*", help="patterns with commas")
    parser.add_argument("--forms", default="eager", help=f"of {', '.join(FORMS)}, with commas")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--one", nargs=2, help="run this network in this form here and print JSON (used by the script)")
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(run_one(asked.one[0], asked.one[1], asked.rounds)))
        return
    from cimnet.models.zoo import PUBLICATIONS

    patterns = asked.networks.split(",")
    names = [name for name in (*OURS, *PUBLICATIONS) if any(fnmatch.fnmatch(name, p) for p in patterns)]
    for form in asked.forms.split(","):
        before = None
        for name in names:
            if asked.again or form not in read(SPEED).get(name, {}):
                before = compare(name, form, asked, before)
    write_page()


def compare(name: str, form: str, asked: argparse.Namespace, before: Found | None) -> Found | None:
    """Measure one network in one form, between two runs of the yardstick, and write what came out.

    Returns the second run of the yardstick, which is the first one of the next network.
    """
    yardform = "step" if form == "step" else "eager"
    before = before or _child(YARDSTICK, yardform, asked.rounds)
    found, after = _child(name, form, asked.rounds), _child(YARDSTICK, yardform, asked.rounds)
    if found is None or before is None or after is None:
        return after
    known = read(SPEED)
    entry = {
        "of_cimnet_resnet101": round(2 * found["seconds"] / (before["seconds"] + after["seconds"]), 3),
        "seconds": round(found["seconds"], 3),
        "peak_memory_mib": found["peak_memory_mib"],
    }
    if form != "step":
        peak = statistics.mean(one["peak_macs_per_second"] for one in (before, found, after))
        entry["gmacs"] = round(found["macs"] / 1e9, 1)
        entry["share_of_matrix_peak"] = round(found["macs_run"] / found["seconds"] / peak, 3)
    entry["measured"] = circumstances()
    known.setdefault(name, {})[form] = entry
    SPEED.parent.mkdir(parents=True, exist_ok=True)
    write_text(SPEED, json.dumps(known, indent=2) + "\n")
    print(name, form, entry["of_cimnet_resnet101"], flush=True)
    return after


def _child(name: str, form: str, rounds: int) -> Found | None:
    """What :func:`run_one` gives in a process of its own; None, with its last line, if it fails."""
    words = [sys.executable, __file__, "--one", name, form, "--rounds", str(rounds)]
    ran = subprocess.run(words, capture_output=True, text=True, check=False)
    if ran.returncode:
        print(f"{name} {form}: {(ran.stderr.strip() or 'killed').splitlines()[-1]}", flush=True)
        return None
    result: Found = json.loads(ran.stdout.strip().splitlines()[-1])
    return result


def run_one(name: str, form: str, rounds: int) -> dict[str, Any]:
    """Fastest of some passes after one to warm up, with what they take."""
    import torch

    from cimnet.models import create_model

    torch.manual_seed(0)
    classes = 5 if "pst" in name else 9
    model = create_model(name, classes)
    budget = {} if form == "step" else count(model, name)
    with tempfile.TemporaryDirectory() as folder:
        call = step(model, classes) if form == "step" else prepare(model, name, classes, form, Path(folder))
        times = []
        for _ in range(rounds + 1):
            started = time.perf_counter()
            call()
            times.append(time.perf_counter() - started)
    return {
        "seconds": min(times[1:]),
        "macs": budget.get("macs"),
        "macs_run": budget.get("macs_run", budget.get("macs")),
        "peak_memory_mib": round(peak_memory()),
        "peak_macs_per_second": matrix_peak(),
    }


def count(model: RGBTModel, name: str) -> dict[str, Any]:
    """Multiplications of a pair; Sigma's as they were counted for `cimnet models`, since its scans take minutes."""
    from cimnet.models.complexity import measure_budget

    if name.startswith("sigma"):
        costs = resources.files("cimnet.analysis").joinpath("model_costs.json").read_text(encoding="utf-8")
        return json.loads(costs)[name]
    return measure_budget(model, (480, 640)).to_dict()


def prepare(model: RGBTModel, name: str, classes: int, form: str, folder: Path) -> Callable[[], object]:
    """A pass of one pair in a form."""
    import torch

    import cimnet
    from cimnet.checkpoint import ModelInfo
    from cimnet.data.synthetic import CLASSES, synthesize
    from cimnet.deploy.export.write import SUFFIXES, export
    from cimnet.inference import Predictor

    info = ModelInfo(name, {}, tuple(CLASSES)[:classes], ((0, 0, 0),) * classes)
    predictor: Any = Predictor(model.eval(), info, torch.device("cpu"))
    if form != "eager":
        kind: Literal["onnx", "openvino"] = "onnx" if form == "onnx" else "openvino"
        file = (folder / "model").with_suffix(SUFFIXES[kind])
        options: dict[str, Any] = {"precision": form if form in ("bfloat16", "int8") else "float32"}
        if form == "int8":
            options["calibration"] = folder / "scenes"
            synthesize(folder / "scenes", train=8, val=1, test=1, size=(480, 640))
        export(predictor, file, kind, **options)
        predictor = cimnet.load(file)
    rgb, thermal = torch.rand(3, 480, 640), torch.rand(1, 480, 640)
    return lambda: predictor.predict(rgb, thermal)


def step(model: RGBTModel, classes: int) -> Callable[[], object]:
    """A training step as the training makes it: channels last, all losses of the model, AdamW."""
    import torch

    from cimnet.training.loss import SegmentationLoss

    model = model.train().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), 1e-4)
    rgb, thermal = torch.rand(2, 3, 240, 320), torch.rand(2, 1, 240, 320)
    label = torch.randint(classes, (2, 240, 320))
    loss = SegmentationLoss()

    def run() -> None:
        optimiser.zero_grad()
        loss(model(rgb, thermal), label).total.backward()
        optimiser.step()

    return run


def matrix_peak() -> float:
    """Multiply-accumulate operations a second of a large float32 matrix product here and now."""
    import torch

    a, b = torch.rand(1536, 1536), torch.rand(1536, 1536)
    times = []
    for _ in range(4):
        started = time.perf_counter()
        torch.mm(a, b)
        times.append(time.perf_counter() - started)
    return 1536**3 / statistics.median(times[1:])


if __name__ == "__main__":
    main()
