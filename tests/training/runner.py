"""Trains by a recipe in a process of its own, as ``cimnet train`` does; the pixel model takes milliseconds.

python -m tests.training.runner RECIPE OUT [--resume] [--slow SECONDS]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from cimnet.errors import Stopped
from cimnet.models import registry
from cimnet.training import train
from cimnet.training.recipe import load_recipe
from tests.fakes.pixel import Pixel


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("recipe")
    parser.add_argument("out", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--slow", type=float, default=0.0, help="seconds that each step takes longer")
    options = parser.parse_args()
    torch.set_num_threads(1)
    registry._FAMILIES["pixel"] = Pixel

    def report(row: dict[str, float]) -> None:
        print(f"step {row['step']}", flush=True)
        time.sleep(options.slow)

    try:
        train(load_recipe(options.recipe), options.out, resume=options.resume, report=report)
    except Stopped as stopped:
        print(stopped, flush=True)


if __name__ == "__main__":
    main()
