"""Images of pairs at one working size, for the estimate, without those that carry no information."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from cimnet.errors import DataError
from cimnet.ops.edges import sharpness
from cimnet.registration.matrices import Matrix, compose, corner_offsets, resize

BLURRED = 0.22  # sharpness of a thermal image below which it is not trusted
SMALLEST = 64  # pixels: in smaller images anything resembles anything
LONGEST = 1024  # pixels: larger images are shrunk for the search
COARSE = 4  # the search for the translation and the first refinements run at a quarter of the size


class Images(NamedTuple):
    """Pairs at the working size.

    rgb (B, 3, H, W); thermal (B, 1, H, W), padded to the RGB image's shape before, so that pixels stay square; inside
    (1, 1, H, W), 1 where it is not padding. `back` leads from pixels of the padded thermal image, at the RGB image's
    size, to those of the thermal image as it was given.
    """

    rgb: Tensor
    thermal: Tensor
    inside: Tensor
    full: tuple[int, int]
    thermal_full: tuple[int, int]
    back: Matrix


def prepare(pairs: Iterable[tuple[npt.NDArray[Any], npt.NDArray[Any]]]) -> Images | None:
    """The pairs in which neither image is flat and the thermal image is not blurred; None if there are none, or if they
    are too small.

    Raises:
        DataError: see `align_rig`.
    """
    colors: list[Tensor] = []
    heats: list[Tensor] = []
    sizes: tuple[tuple[int, int], tuple[int, int]] | None = None
    for rgb, thermal in pairs:
        if rgb.ndim != 3 or rgb.shape[2] != 3 or thermal.ndim != 2:
            raise DataError(f"alignment: shapes {rgb.shape} and {thermal.shape}, expected (H, W, 3) and (H, W)")
        full, thermal_full = (rgb.shape[0], rgb.shape[1]), (thermal.shape[0], thermal.shape[1])
        if sizes is not None and (full, thermal_full) != sizes:
            raise DataError(
                f"alignment: images of several sizes ({full[1]}x{full[0]} and {sizes[0][1]}x{sizes[0][0]}, say); "
                "one matrix needs one size: align pair by pair (--per-pair)"
            )
        sizes = full, thermal_full
        color, heat = torch.from_numpy(_unit(rgb)).permute(2, 0, 1)[None], torch.from_numpy(_unit(thermal))[None, None]
        if min(full) < SMALLEST or min(color.std(), heat.std()) < 1e-4 or sharpness(heat) < BLURRED:
            continue
        colors.append(F.interpolate(color, _work(full), mode="bilinear", antialias=True))
        left, top, _ = _canvas(full, thermal_full)
        padded = F.pad(heat, (left, left, top, top), mode="replicate")
        heats.append(F.interpolate(padded, _work(full), mode="bilinear", antialias=True))
    if sizes is None:
        raise DataError("alignment needs at least one pair")
    if not colors:
        return None
    full, thermal_full = sizes
    left, top, canvas = _canvas(full, thermal_full)
    inside = F.pad(torch.ones(1, 1, *thermal_full), (left, left, top, top))
    back = compose(np.array([[1.0, 0, -left], [0, 1, -top]]), resize(full, canvas))
    return Images(
        torch.cat(colors), torch.cat(heats), F.interpolate(inside, _work(full), mode="area"), full, thermal_full, back
    )


def centre_offset(matrix: Matrix, full: tuple[int, int], thermal_full: tuple[int, int]) -> tuple[float, float]:
    """Return dx and dy at the centre, pixels of the RGB image, for the thermal image at its size and shape.

    Args:
        matrix: 2×3, thermal pixel of an RGB pixel.
        full, thermal_full: (height, width) of the RGB and of the thermal image as they are.
    """
    left, top, canvas = _canvas(full, thermal_full)
    padded = compose(np.array([[1.0, 0, left], [0, 1, top]]), matrix)
    dx, dy = corner_offsets(compose(resize(canvas, full), padded), full).mean(axis=0).tolist()
    return dx, dy


def _work(full: tuple[int, int]) -> list[int]:
    """The working size: a multiple of the coarsest factor, so that every level covers the same field."""
    shrink = min(1.0, LONGEST / max(full))
    return [max(8 * COARSE, round(length * shrink / COARSE) * COARSE) for length in full]


def _canvas(full: tuple[int, int], thermal: tuple[int, int]) -> tuple[int, int, tuple[int, int]]:
    """Pixels to add left and right, top and bottom, of a thermal image for the RGB image's shape, and its size then."""
    width, height = thermal[0] * full[1] / full[0], thermal[1] * full[0] / full[1]
    left, top = max(0, round((width - thermal[1]) / 2)), max(0, round((height - thermal[0]) / 2))
    return left, top, (thermal[0] + 2 * top, thermal[1] + 2 * left)


def _unit(image: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Floats in 0..1, by the image's own 1st and 99th percentile: only gradients matter."""
    values = np.nan_to_num(image.astype(np.float32))
    low, high = np.percentile(values[::4, ::4], (1, 99))
    return np.clip((values - low) / max(float(high - low), 1e-6), 0, 1).astype(np.float32)
