"""Images of pairs at one working size, for the estimate; those that cannot tell anything left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from cimnet.alignment.structure import sharpness
from cimnet.errors import DataError

BLURRED = 0.22  # sharpness of a thermal image below which it is not trusted
SMALLEST = 64  # pixels: in smaller images anything resembles anything
LONGEST = 1024  # pixels: larger images are shrunk for the search
COARSE = 4  # the search for the translation and the first refinements run at a quarter of the size


class Images(NamedTuple):
    """RGB (B, 3, H, W) and thermal (B, 1, H, W) at the working size, and the sizes that were given."""

    rgb: Tensor
    thermal: Tensor
    full: tuple[int, int]
    thermal_full: tuple[int, int]


def prepare(pairs: Sequence[tuple[npt.NDArray[Any], npt.NDArray[Any]]]) -> Images | None:
    """The pairs of which neither image is flat and the thermal image is not blurred; None if there are none, or if they
    are too small."""
    if not pairs:
        raise DataError("alignment needs at least one pair")
    for rgb, thermal in pairs:
        if rgb.ndim != 3 or rgb.shape[2] != 3 or thermal.ndim != 2:
            raise DataError(f"alignment: shapes {rgb.shape} and {thermal.shape}, expected (H, W, 3) and (H, W)")
        if rgb.shape != pairs[0][0].shape or thermal.shape != pairs[0][1].shape:
            raise DataError(
                f"alignment: images of several sizes ({rgb.shape[1]}x{rgb.shape[0]} and "
                f"{pairs[0][0].shape[1]}x{pairs[0][0].shape[0]}); one matrix needs one size: align pair by pair"
            )
    full, thermal_full = pairs[0][0].shape[:2], pairs[0][1].shape[:2]
    shrink = min(1.0, LONGEST / max(full))
    # a multiple of the coarsest factor, so that every level covers the same field
    work = [max(8 * COARSE, round(length * shrink / COARSE) * COARSE) for length in full]
    color = torch.stack([torch.from_numpy(_unit(rgb)).permute(2, 0, 1) for rgb, _ in pairs])
    heat = torch.stack([torch.from_numpy(_unit(thermal))[None] for _, thermal in pairs])
    lively = (color.flatten(1).std(1) > 1e-4) & (heat.flatten(1).std(1) > 1e-4)
    lively &= torch.tensor([sharpness(image[None]) > BLURRED for image in heat])
    if not lively.any() or min(full) < SMALLEST:
        return None
    color, heat = (F.interpolate(images[lively], work, mode="bilinear", antialias=True) for images in (color, heat))
    return Images(color, heat, (full[0], full[1]), (thermal_full[0], thermal_full[1]))


def _unit(image: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Floats in 0..1, by the image's own 1st and 99th percentile: only gradients matter."""
    values = np.nan_to_num(image.astype(np.float32))
    low, high = np.percentile(values[::4, ::4], (1, 99))
    return np.clip((values - low) / max(float(high - low), 1e-6), 0, 1).astype(np.float32)
