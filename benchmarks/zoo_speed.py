"""The published networks and CIMNet side by side on one CPU: seconds, memory and share of the machine's peak.

    python benchmarks/zoo_speed.py [--networks 'cmx*,cimnet_resnet101'] [--rounds 2]

480×640, batch 1, float32, random weights, the predictor's own copy (folded, channels last). Each network runs in a
process of its own, CIMNet-R101 before and after each, so that a machine that is busier for one is busier for both:
seconds are given as a share of CIMNet-R101's in the same minute. Writes docs/evidence/zoo_speed.json after each
network; networks that stand there are left out unless --again is given.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from evidence import circumstances

OUT = Path(__file__).resolve().parent.parent / "docs" / "evidence" / "zoo_speed.json"
YARDSTICK = "cimnet_resnet101"
OURS = (YARDSTICK, "cimnet_mit_b2", "cimnet_mit_b4", "cimnet_efficientnet_lite0")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="*", help="patterns with commas")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--one", help="run this network here and print JSON (used by the script itself)")
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(run_one(asked.one, asked.rounds)))
        return
    from cimnet.models.zoo import PUBLICATIONS

    patterns = asked.networks.split(",")
    names = [name for name in (*OURS, *PUBLICATIONS) if any(fnmatch.fnmatch(name, p) for p in patterns)]
    known: dict[str, Any] = json.loads(OUT.read_text()) if OUT.is_file() else {}
    for name in names:
        if name in known and not asked.again:
            continue
        before, found, after = (_child(one, asked.rounds) for one in (YARDSTICK, name, YARDSTICK))
        yardstick = (before["seconds"] + after["seconds"]) / 2
        share = found["macs_run"] / found["seconds"] / found["peak_macs_per_second"]
        known[name] = {
            "of_cimnet_resnet101": round(found["seconds"] / yardstick, 3),
            "peak_memory_mib": found["peak_memory_mib"],
            "gmacs": round(found["macs"] / 1e9, 1),
            "share_of_matrix_peak": round(share, 3),
            "seconds": round(found["seconds"], 2),
            "measured": circumstances(),
        }
        OUT.parent.mkdir(parents=True, exist_ok=True)
        OUT.write_text(json.dumps(known, indent=2) + "\n")
        print(name, known[name]["of_cimnet_resnet101"], flush=True)
    print(table(known))


def _child(name: str, rounds: int) -> dict[str, Any]:
    words = [sys.executable, __file__, "--one", name, "--rounds", str(rounds)]
    ran = subprocess.run(words, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(ran.stdout.strip().splitlines()[-1])
    return result


def run_one(name: str, rounds: int) -> dict[str, Any]:
    """Fastest of some passes after one to warm up, with what they take."""
    import torch

    from cimnet.checkpoint import ModelInfo
    from cimnet.inference import Predictor
    from cimnet.models import create_model
    from cimnet.models.complexity import measure_budget

    classes = 5 if "pst" in name else 9
    model = create_model(name, classes)
    info = ModelInfo(name, {}, tuple(map(str, range(classes))), ((0, 0, 0),) * classes)
    budget = measure_budget(model, (480, 640)).to_dict()
    predictor = Predictor(model.eval(), info, torch.device("cpu"))
    rgb, thermal = torch.rand(3, 480, 640), torch.rand(1, 480, 640)
    times = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        predictor.predict(rgb, thermal)
        times.append(time.perf_counter() - started)
    return {
        "seconds": min(times[1:]),
        "macs": budget["macs"],
        "macs_run": budget.get("macs_run", budget["macs"]),
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "peak_macs_per_second": matrix_peak(),
    }


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


def table(known: dict[str, Any]) -> str:
    """The figures as Markdown."""
    rows = [
        "| network | time, CIMNet-R101 = 1 | GMACs | share of the matrix peak | peak memory, MiB |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, found in known.items():
        figures = f"{found['of_cimnet_resnet101']:.2f} | {found['gmacs']} | {found['share_of_matrix_peak']:.2f}"
        rows.append(f"| {name} | {figures} | {found['peak_memory_mib']:,} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
