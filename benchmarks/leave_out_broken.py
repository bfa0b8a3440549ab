"""What it brings to predict without a sensor that the alarm calls broken: scores under single defects.

    cimnet calibrate runs/scenes data/scenes --out calibrated.safetensors
    python benchmarks/leave_out_broken.py calibrated.safetensors --data data/report --out runs/left_out \\
        --corruption blackout=80 fog=10

`cimnet robustness` with the same corruptions gives the scores with both sensors.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import cimnet
from cimnet.analysis.robustness import measure_robustness, parse_corruption
from cimnet.weights.locate import identity_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--corruption", nargs="+", required=True, help="NAME=LEVELS")
    options = parser.parse_args()
    predictor = cimnet.load(options.checkpoint, leave_out_broken=True)

    def call(rgb: Tensor, thermal: Tensor) -> Tensor:
        return torch.from_numpy(np.stack([predictor.predict_proba(*pair) for pair in zip(rgb, thermal, strict=True)]))

    dataset = predictor.open_dataset(options.data, "test")
    conditions = [condition for text in options.corruption for condition in parse_corruption(text)]
    name = f"broken sensors left out, {identity_of(options.checkpoint)[:8]}"
    report = measure_robustness(call, dataset, options.out, conditions=conditions, name=name)
    print(report.to_markdown(brief=True))


if __name__ == "__main__":
    main()
