"""Small rasters, and a model of which every pixel's class is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("rasterio")
import rasterio
from rasterio.transform import Affine, from_origin

from cimnet.checkpoint import ModelInfo
from cimnet.inference import Predictor
from cimnet.inference.settings import Settings
from cimnet.models import Output

CLASSES = ("dark & cold", "bright", "warm", "bright and <warm>")
COLORS = ((0, 0, 0), (200, 10, 20), (30, 220, 40), (50, 60, 240))
UTM = "EPSG:32633"
PLACE = from_origin(500_000, 6_000_000, 0.5, 0.5)


def moved(x: float, y: float) -> Affine:
    """`PLACE`, moved by so many pixels to the right and down."""
    return from_origin(PLACE.c + x * PLACE.a, PLACE.f + y * PLACE.e, PLACE.a, -PLACE.e)


def turned(degrees: float, place: Affine = PLACE) -> Affine:
    """A north-up transform, turned about its origin."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return Affine(place.a * cos, -place.a * sin, place.c, place.e * sin, place.e * cos, place.f)


class Stub(nn.Module):
    """Class id: 1 where red is above 0.5, plus 2 where the thermal image is; keeps what it has seen. With `blur` the
    neighbourhood counts, so that windows differ where they meet."""

    def __init__(self, blur: int = 1) -> None:
        super().__init__()
        self.blur = blur
        self.seen: list[tuple[Tensor, Tensor]] = []

    def forward(self, rgb: Tensor, thermal: Tensor, /) -> Output:
        self.seen.append((rgb.clone(), thermal.clone()))
        red, heat = (self._mean(image) - 0.5 for image in (rgb[:, :1], thermal))
        return Output(torch.cat((-red - heat, red - heat, heat - red, red + heat), dim=1))

    def predict(self, rgb: Tensor, thermal: Tensor, /) -> Tensor:
        return self(rgb, thermal).logits.argmax(1)

    def _mean(self, image: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(image, self.blur, stride=1, padding=self.blur // 2)


def make_predictor(blur: int = 1, window: int | None = 32, overlap: float = 0.5, **info: Any) -> Predictor:
    """A predictor around :class:`Stub`."""
    description = ModelInfo("stub", {}, CLASSES, COLORS, **{"thermal_dtype": "uint8", **info})
    return Predictor(Stub(blur), description, torch.device("cpu"), Settings(window=window, overlap=overlap))


def write(path: Path, values: np.ndarray, **profile: Any) -> Path:
    """A GeoTIFF of (H, W) or (H, W, bands) values; by default on `PLACE` in `UTM`."""
    bands = np.moveaxis(np.atleast_3d(values), -1, 0)
    size = {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2], "dtype": bands.dtype}
    if len(bands) == 3:
        size["photometric"] = "rgb"
    with rasterio.open(path, "w", driver="GTiff", **{"crs": UTM, "transform": PLACE, **size, **profile}) as file:
        file.write(bands)
    return path


def arrays(height: int = 80, width: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """RGB (H, W, 3) and thermal (H, W), uint8, patches of 8 pixels with values in 1..255."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(1, 256, (-(-height // 8), -(-width // 8), 4), dtype=np.uint8)
    fine = coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
    return np.ascontiguousarray(fine[..., :3]), np.ascontiguousarray(fine[..., 3])


def classes_of(rgb: np.ndarray, thermal: np.ndarray) -> np.ndarray:
    """What the stub says of whole images."""
    return ((rgb[..., 0] > 127) + 2 * (thermal > 127)).astype(np.uint8)


def content(path: Path) -> np.ndarray:
    """The first band."""
    with rasterio.open(path) as file:
        return file.read(1)
