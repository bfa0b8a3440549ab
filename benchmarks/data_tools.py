"""What `cimnet data check` costs beyond decoding, and how even `cimnet data split` divides, against chance.

python benchmarks/data_tools.py
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from cimnet.curation.check import check_dataset
from cimnet.curation.split import PARTS, split_dataset
from cimnet.data import RGBTDataset, open_dataset
from cimnet.data.synthetic import synthesize


def seconds(root: Path, workers: int) -> float:
    start = time.perf_counter()
    check_dataset(root, workers=workers)
    return time.perf_counter() - start


def decoding(data: RGBTDataset) -> float:
    start = time.perf_counter()
    for index in range(len(data)):
        data.arrays(index)
    return time.perf_counter() - start


def worst(parts: dict[str, list[str]], pixels: dict[str, np.ndarray]) -> float:
    """The largest distance of a part's share of a class's pixels from the share wanted, in points."""
    total = sum(pixels.values())
    return max(
        float(np.abs(sum(pixels[name] for name in parts[part]) / total - share).max()) for part, share in PARTS.items()
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "large"
        synthesize(root, train=200, val=40, test=60, workers=2)
        data = open_dataset(root, "all")
        alone = [decoding(data) for _ in range(2)]
        one, two = ([seconds(root, workers) for _ in range(2)] for workers in (1, 2))
        print(
            f"check of {len(data)} pairs of 640x512, against decoding them once in one process: "
            f"{min(one) / min(alone):.2f} in one process, {min(two) / min(alone):.2f} in two"
        )
        root = Path(folder) / "small"
        synthesize(root, train=560, val=0, test=0, size=(256, 320), scale=0.5, workers=2)
        data = open_dataset(root, "train")
        labels = (data.arrays(index).label for index in range(len(data)))
        pixels = {
            name: np.bincount(label.ravel(), minlength=256)[: len(data.classes)].astype(float)
            for name, label in zip(data.ids, labels, strict=True)
            if label is not None
        }
        ours = [worst(split_dataset(root, of="train", seed=seed, overwrite=True).names, pixels) for seed in range(5)]
        dice, chance = np.random.default_rng(0), []
        ends = [int(len(data) * share) for share in np.cumsum(list(PARTS.values()))[:-1]]
        for _ in range(200):
            parts = np.split(dice.permutation(data.ids), ends)
            chance.append(worst({part: list(names) for part, names in zip(PARTS, parts, strict=True)}, pixels))
        print(
            f"split of {len(data)} scenes: largest deviation of a class's share {100 * np.mean(ours):.2f} points "
            f"(5 seeds), by chance {100 * np.mean(chance):.2f} (200 draws; the best of them {100 * min(chance):.2f})"
        )


if __name__ == "__main__":
    main()
