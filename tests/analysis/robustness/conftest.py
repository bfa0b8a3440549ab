"""A tiny set whose label can be read off the RGB image, and models that do so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from cimnet.data import RGBTDataset, open_dataset
from tests.fakes.layouts import save_array, write_list

CLASSES = ("ground", "car", "tree")
HEIGHT, WIDTH = 24, 32


def make_columns(root: Path, names: tuple[str, ...] = ("0D", "1D", "2N", "3N")) -> Path:
    """Kust4K's lists, the generic folders: each pair has a car and a tree whose grey values, in RGB and thermal, are
    100 times the class id; the pairs differ by where they stand."""
    for number, name in enumerate(names):
        label = np.zeros((HEIGHT, WIDTH), np.uint8)
        label[8:16, 4 + number : 12 + number] = 1
        label[4:20, 20:28] = 2
        save_array(root / "rgb" / f"{name}.png", np.dstack([100 * label] * 3))
        save_array(root / "thermal" / f"{name}.png", 100 * label)
        save_array(root / "labels" / f"{name}.png", label)
    write_list(root / "test.txt", names)
    write_list(root / "day.txt", [name for name in names if name.endswith("D")])
    write_list(root / "night.txt", [name for name in names if name.endswith("N")])
    (root / "classes.yaml").write_text(f"classes: [{', '.join(CLASSES)}]\n", encoding="utf-8")
    return root


def by_value(image: Tensor) -> Tensor:
    """Logits of the class whose value is nearest, (B, 3, H, W), from a channel (B, H, W) in 0..1."""
    ids = (image * 2.55).round().long().clamp(0, 2)
    return F.one_hot(ids, 3).permute(0, 3, 1, 2).float()


class Model:
    """Reads the classes off one sensor; counts its calls and pairs."""

    def __init__(self, sensor: str) -> None:
        self.sensor, self.calls, self.batches = sensor, 0, []

    def __call__(self, rgb: Tensor, thermal: Tensor) -> Tensor:
        assert rgb.dtype == thermal.dtype == torch.float32
        self.calls += 1
        self.batches.append(len(rgb))
        return by_value(rgb[:, 0] if self.sensor == "rgb" else thermal[:, 0])


@pytest.fixture
def columns(tmp_path: Path) -> RGBTDataset:
    return open_dataset(make_columns(tmp_path / "columns"), "test")


@pytest.fixture
def sees() -> Callable[[str], Model]:
    """``sees("rgb")`` or ``sees("thermal")``: a model with that sensor."""
    return Model


def resize(path: Path, width: int, height: int) -> None:
    """Another size for an image file."""
    Image.open(path).resize((width, height), Image.Resampling.NEAREST).save(path)
