"""Cross-validates by a recipe in a process of its own, as ``cimnet cross-validate`` does; each step takes a while.

python -m tests.analysis.cross_validation.runner RECIPE OUT
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch

from cimnet.analysis.cross_validation import cross_validate
from cimnet.models import registry
from cimnet.training.recipe import load_recipe
from tests.fakes.pixel import Pixel


def main() -> None:
    torch.set_num_threads(1)
    registry._FAMILIES["pixel"] = Pixel

    def report(row: dict[str, float]) -> None:
        print(f"step {row['step']}", flush=True)
        time.sleep(0.02)

    cross_validate(load_recipe(sys.argv[1]), Path(sys.argv[2]), seeds=[0, 1], report=report)


if __name__ == "__main__":
    main()
