"""A pair that a visitor gave, and what the sliders do to it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from cimnet.data.corruptions import corrupt
from cimnet.data.sample import RGBTSample
from cimnet.errors import ConfigError, DataError
from cimnet.inference import Predictor
from cimnet.inference.images import resize as resize_images

RANGES: dict[str, tuple[float, float]] = {
    "right": (-40, 40),
    "down": (-40, 40),
    "turn": (-10, 10),
    "blur": (0, 12),
    "darken": (0, 6),
}
"""Least and greatest value of each of `Knobs`."""


@dataclass(frozen=True)
class Knobs:
    """The settings that degrade a pair.

    Attributes:
        right, down: shift of the thermal image, pixels.
        turn: of the thermal image about its centre, degrees clockwise.
        blur: of the thermal image, Gaussian, sigma in pixels.
        darken: under-exposure of the RGB image, stops, with the noise that comes with it.

    Raises:
        ConfigError: a value is not a number in its range of `RANGES`.
    """

    right: float = 0.0
    down: float = 0.0
    turn: float = 0.0
    blur: float = 0.0
    darken: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value, (low, high) = getattr(self, field.name), RANGES[field.name]
            if not (isinstance(value, int | float) and math.isfinite(value) and low <= value <= high):
                raise ConfigError(f"{field.name} is {value}, expected a number from {low:g} to {high:g}")


@dataclass(frozen=True)
class Pair:
    """Images of one visitor; either may be missing.

    Attributes:
        rgb: (H, W, 3) uint8.
        thermal: (h, w) float32 in 0..1, scaled as the checkpoint wants it.
        example: one of the page's own pairs: an upload replaces it whole.
    """

    rgb: npt.NDArray[np.uint8] | None = None
    thermal: npt.NDArray[np.float32] | None = None
    example: bool = False

    @property
    def empty(self) -> bool:
        return self.rgb is None and self.thermal is None

    @property
    def missing(self) -> str | None:
        """The sensor of which there is no image, if there is one of the other."""
        if self.empty or (self.rgb is not None and self.thermal is not None):
            return None
        return "RGB" if self.rgb is None else "thermal"

    def tensors(self, predictor: Predictor, resize: bool = False) -> tuple[Tensor, Tensor]:
        """Return the model's input: (3, H, W) and (1, H, W) in 0..1, black for a missing image.

        Args:
            resize: bring the thermal image to the size of RGB, where they differ.

        Raises:
            DataError: there is no image, or the sizes differ and `resize` is off.
        """
        thermal: Any = self.thermal
        if self.rgb is not None and self.thermal is not None and self.rgb.shape[:2] != self.thermal.shape:
            if not resize:
                sizes = [f"{width}×{height}" for height, width in (self.rgb.shape[:2], self.thermal.shape)]
                raise DataError(
                    f"The RGB image has {sizes[0]} pixels, the thermal image {sizes[1]}. If both show the "
                    "same part of the scene, tick “Resize thermal to RGB”; otherwise register them first, for example "
                    "with `cimnet data align`."
                )
            height, width = self.rgb.shape[:2]
            resized = resize_images(torch.from_numpy(self.thermal)[None, None], (height, width))
            thermal = resized[0, 0].clamp(0, 1).numpy()
        return predictor.tensors(self.rgb, thermal)


def degrade(rgb: Tensor, thermal: Tensor, knobs: Knobs) -> tuple[Tensor, Tensor]:
    """A degraded copy of a pair (3, H, W) and (1, H, W) in 0..1. Knobs at 0 change nothing, not even by rounding.

    An RGB image that is black throughout is a missing one and stays black: no camera, no noise.
    """
    if knobs.right or knobs.down or knobs.turn:
        thermal = move(thermal, knobs.right, knobs.down, knobs.turn)
    sample = RGBTSample(rgb, thermal, None, "page")
    if knobs.blur:
        sample = corrupt(sample, "thermal_blur", level=knobs.blur)
    if knobs.darken and bool(rgb.any()):
        sample = corrupt(sample, "low_light", level=knobs.darken)
    return sample.rgb, sample.thermal


def move(image: Tensor, right: float, down: float, turn: float) -> Tensor:
    """An image (C, H, W) turned about its centre by `turn` degrees clockwise, then shifted by pixels. Where there is
    nothing to show, the nearest pixel is repeated."""
    height, width = image.shape[-2:]
    y = torch.arange(height, dtype=torch.float32)[:, None] - (height - 1) / 2 - down
    x = torch.arange(width, dtype=torch.float32)[None, :] - (width - 1) / 2 - right
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    from_x = (cos * x + sin * y) / max((width - 1) / 2, 0.5)
    from_y = (cos * y - sin * x) / max((height - 1) / 2, 0.5)
    grid = torch.stack([from_x, from_y], dim=-1)[None]
    moved = F.grid_sample(image[None], grid, mode="bilinear", padding_mode="border", align_corners=True)
    return moved[0].clamp(0, 1)
