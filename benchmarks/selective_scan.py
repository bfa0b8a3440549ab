"""The selective scan: time and memory of its forms, alone and in Sigma. Each row runs in a process of its own, on one
thread, and its time is the processor's, so that other work on the machine counts little:

OMP_NUM_THREADS=1 python benchmarks/selective_scan.py docs/evidence/selective_scan.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cimnet.models import create_model
from cimnet.ops.selective_scan import selective_scan, use_implementation
from cimnet.utils.memory import peak_memory

ALONE = {"length": 1200, "batch": 2, "groups": 4, "rows": 192, "states": 16}
"""One scan: the channels of Sigma-tiny's first stage, both streams; a sixteenth of its length at 480×640."""
ROWS: list[tuple[str, ...]] = [
    *(("scan", form) for form in ("sequential", "blocked", "associative")),
    *(("scan gradients", form) for form in ("sequential", "blocked")),
    *(("sigma_tiny 480x640", form) for form in ("blocked", "sequential")),
    *(("sigma_tiny 480x640 parts", form) for form in ("scans", "rest")),
    *(("sigma_tiny training step 96x128", form) for form in ("sequential", "blocked")),
]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--row", nargs=2, help="one of the rows, printed as JSON")
    arguments = parser.parse_args()
    if arguments.row:
        print(json.dumps(measure(*arguments.row)))
        return
    rows = []
    for what, form in ROWS:
        command = [sys.executable, __file__, "--row", what, form]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        rows.append({"what": what, "form": form, **json.loads(done.stdout)})
        print(rows[-1], flush=True)
    if arguments.out:
        arguments.out.parent.mkdir(exist_ok=True)
        machine = f"{processor()}, {os.cpu_count()} cores, one thread, torch {torch.__version__}"
        arguments.out.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


def measure(what: str, form: str) -> dict[str, float]:
    """Processor seconds and MiB above what the process held before."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    run = one_scan(form, what.endswith("gradients")) if what.startswith("scan") else network(what, form)
    before = peak_memory()
    if what.endswith("parts"):
        seconds = run()
    else:
        started = time.process_time()
        run()
        seconds = time.process_time() - started
    return {"seconds": round(seconds, 3), "mib": round(peak_memory() - before)}


def one_scan(form: str, gradients: bool) -> Callable[[], Any]:
    """A scan, after a short one to warm up."""
    inputs = scan_inputs(**ALONE)
    function = associative if form == "associative" else lambda *x: selective_scan(*x, implementation=form)
    with torch.no_grad():
        function(*scan_inputs(**{**ALONE, "length": 64}))
    if gradients:
        learning = [x.requires_grad_() for x in inputs]
        return lambda: function(*learning).square().sum().backward()
    return torch.no_grad()(lambda: function(*inputs))


def scan_inputs(length: int, batch: int, groups: int, rows: int, states: int) -> list[Tensor]:
    wide = groups * rows
    time_first = [torch.randn(length, batch, wide).permute(1, 2, 0) for _ in range(2)]
    between = [torch.randn(length, batch, groups, states).permute(1, 2, 3, 0) for _ in range(2)]
    return [*time_first, -torch.rand(wide, states) - 0.5, *between, torch.randn(wide), torch.randn(wide) - 4]


def associative(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor) -> Tensor:
    """By torch's associative scan, whose depth is the logarithm of the length."""
    from torch._higher_order_ops.associative_scan import generic_associative_scan

    rows = len(A) // B.shape[1]
    step = torch.nn.functional.softplus(delta + delta_bias[:, None]).permute(2, 0, 1)  # (L, N, G·R)
    decay = torch.exp(step.unsqueeze(3) * A)  # (L, N, G·R, S)
    by_row = B.permute(3, 0, 1, 2).repeat_interleave(rows, 2)
    inside = (step * u.permute(2, 0, 1)).unsqueeze(3) * by_row

    def join(earlier: tuple[Tensor, Tensor], later: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return later[0] * earlier[0], later[0] * earlier[1] + later[1]

    flat = generic_associative_scan(lambda *x: join(x[:2], x[2:]), [decay, inside], dim=0)
    read = (flat[1] * C.permute(3, 0, 1, 2).repeat_interleave(rows, 2)).sum(3).permute(1, 2, 0)
    return read + D[:, None] * u


def network(what: str, form: str) -> Callable[[], Any]:
    name, *rest = what.split()
    height, width = (int(side) for side in next(word for word in rest if "x" in word).split("x"))
    model = create_model(name, 9)
    rgb, thermal = torch.rand(1, 3, height, width), torch.rand(1, 1, height, width)

    def step() -> None:
        with use_implementation(form):
            model.train()(rgb, thermal).logits.square().mean().backward()

    def predict() -> None:
        with use_implementation(form):
            model.predict(rgb, thermal)

    if what.endswith("parts"):
        return lambda: part(lambda: model.predict(rgb, thermal), form)
    return step if "step" in rest else predict


def part(run: Callable[[], Any], which: str) -> float:
    """Processor seconds that the scans take, or all else."""
    from cimnet.ops import blocked_scan

    inside, spent = blocked_scan.scan, 0.0

    def timed(*inputs: Tensor) -> Tensor:
        nonlocal spent
        started = time.process_time()
        y = inside(*inputs)
        spent += time.process_time() - started
        return y

    blocked_scan.scan = timed
    started = time.process_time()
    run()
    whole = time.process_time() - started
    return spent if which == "scans" else whole - spent


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
