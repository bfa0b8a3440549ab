"""How fast training pairs come: decode + transform in one process, against reading as CMX does and a ResNet-18 step.

    python benchmarks/data_speed.py --pairs 120

Draws scenes of 640x512 into a temporary folder (PNG files of Kust4K's size and form; their noise compresses as badly as
a photograph's) and prints Markdown. Rounds of all ways take turns, so that a busy machine slows each alike.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from segmentation_models_pytorch import Unet
from torch.utils.data import DataLoader

from cimnet.data import collate, open_dataset, train_transform
from cimnet.data.synthetic import synthesize

CROP = (480, 640)
SCALE = (0.5, 1.75)
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


class ThreeFiles:
    """CMX's way, in other words: OpenCV reads three files, numpy does the rest, RGB and thermal in 3 channels."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.names = (root / "train.txt").read_text().split()
        self.dice = np.random.default_rng(0)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        name = f"{self.names[index]}.png"
        rgb = cv2.cvtColor(cv2.imread(str(self.root / "RGB" / name), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        label = cv2.imread(str(self.root / "Seg_annos" / name), cv2.IMREAD_GRAYSCALE)
        thermal = cv2.imread(str(self.root / "TIR" / name), cv2.IMREAD_GRAYSCALE)
        thermal = cv2.merge([thermal, thermal, thermal])
        if self.dice.random() < 0.5:
            rgb, thermal, label = (cv2.flip(image, 1) for image in (rgb, thermal, label))
        scale = self.dice.uniform(*SCALE)
        size = int(rgb.shape[1] * scale), int(rgb.shape[0] * scale)
        rgb, thermal = (cv2.resize(image, size, interpolation=cv2.INTER_LINEAR) for image in (rgb, thermal))
        label = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST)
        rgb, thermal = (((image.astype(np.float64) / 255.0) - MEAN) / STD for image in (rgb, thermal))
        top = self.dice.integers(max(label.shape[0] - CROP[0], 0) + 1)
        left = self.dice.integers(max(label.shape[1] - CROP[1], 0) + 1)
        area = slice(top, top + CROP[0]), slice(left, left + CROP[1])
        high, wide = CROP[0] - label[area].shape[0], CROP[1] - label[area].shape[1]
        pad = (high // 2, high - high // 2, wide // 2, wide - wide // 2)
        rgb, thermal = (
            cv2.copyMakeBorder(image[area], *pad, cv2.BORDER_CONSTANT, value=0).transpose(2, 0, 1)
            for image in (rgb, thermal)
        )
        label = cv2.copyMakeBorder(label[area], *pad, cv2.BORDER_CONSTANT, value=255)
        return (
            np.ascontiguousarray(rgb, np.float32),
            np.ascontiguousarray(thermal, np.float32),
            np.ascontiguousarray(label, np.int64),
        )


def rate(items: int, work: Callable[[int], object]) -> float:
    """Items a second."""
    start = time.perf_counter()
    for index in range(items):
        work(index)
    return items / (time.perf_counter() - start)


def step(batch: int) -> Callable[[int], object]:
    """One training step of a U-Net on ResNet-18 over RGB and thermal."""
    model = Unet("resnet18", encoder_weights=None, in_channels=4, classes=9).to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3)
    images = torch.rand(batch, 4, *CROP).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 9, (batch, *CROP))

    def run(_: int) -> None:
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimiser.step()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "scenes"
        synthesize(root, train=options.pairs, val=0, test=0, workers=2)
        transform = train_transform(CROP, SCALE, color_jitter=(0, 0, 0, 0), thermal_jitter=(0, 0, 0))
        plain = open_dataset(root, "train", transform=transform)
        ram = open_dataset(root, "train", transform=transform, cache="ram")
        ram.check()
        start = time.perf_counter()
        disk = open_dataset(root, "train", transform=transform, cache="disk", cache_folder=Path(folder) / "cache")
        print(f"Filling the disk cache: {options.pairs / (time.perf_counter() - start):.0f} pairs/s (2 cores)\n")
        ways = {
            "OpenCV and numpy, as CMX reads": ThreeFiles(root).__getitem__,
            "cimnet": plain.__getitem__,
            "cimnet, cache: disk": disk.__getitem__,
            "cimnet, cache: ram": ram.__getitem__,
            "cimnet, decoding alone": plain.read,
        }
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, way in ways.items():
                rates[name].append(rate(options.pairs, way))
        torch.set_num_threads(2)
        run = step(4)
        run(0)
        needed = 4 * rate(4, run)
        loader = DataLoader(plain, 4, shuffle=True, num_workers=2, collate_fn=collate)
        start = time.perf_counter()
        batches = sum(1 for _ in loader)
        loaded = 4 * batches / (time.perf_counter() - start)
    base = statistics.median(rates["OpenCV and numpy, as CMX reads"])
    print("| one process | pairs/s | against CMX's way |\n|---|---:|---:|")
    for name, values in rates.items():
        print(f"| {name} | {statistics.median(values):.1f} | {statistics.median(values) / base:.2f} |")
    print(f"\nResNet-18 U-Net step (batch 4, {CROP[0]}x{CROP[1]}, 2 threads) takes {needed:.1f} pairs/s;")
    print(f"one dataloader worker gives {statistics.median(rates['cimnet']) / needed:.1f} times that,")
    print(f"two dataloader workers without anything beside them {loaded:.1f} pairs/s.")


if __name__ == "__main__":
    main()
