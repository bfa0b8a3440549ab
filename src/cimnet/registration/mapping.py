"""The position in the thermal image of each pixel of the RGB image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cimnet.data.io.thermal_scaling import Counts
from cimnet.errors import DataError
from cimnet.registration.matrices import Matrix, sample, warp

_ROUNDING = 0.01
"""Share of a missing pixel in a value up to which it is taken for rounding."""


@dataclass(frozen=True)
class Mapping:
    """The position in the thermal image of each RGB pixel: a 2×3 matrix, or positions (H, W, 2) as (x, y)."""

    matrix: Matrix | None = None
    positions: npt.NDArray[np.float64] | None = None

    def apply(self, thermal: Counts, size: tuple[int, int]) -> tuple[Counts, npt.NDArray[np.bool_]]:
        """Bring the thermal image into the frame of an RGB image (height, width). Returns the image, of the same type,
        and a mask of where it has values. Elsewhere its nearest value is repeated (zeros would widen the range of
        16-bit and float images). What is made from a missing pixel is missing, too.

        Raises:
            DataError: positions for another size.
        """
        values = with_mask(thermal)
        if self.positions is None:
            assert self.matrix is not None
            moved, inside = warp(values, self.matrix, size, edge=True)
        elif self.positions.shape[:2] != size:
            height, width = self.positions.shape[:2]
            raise DataError(f"an RGB image of {size[1]}x{size[0]}, but the calibration was read for {width}x{height}")
        else:
            u, v = (torch.from_numpy(self.positions[..., axis].astype(np.float32)) for axis in (0, 1))
            moved, inside = sample(values, u, v, edge=True)
        return without_mask(moved, thermal), inside.numpy()


def with_mask(thermal: Counts) -> Tensor:
    """A thermal image as a float32 tensor (1, 1, H, W) for interpolation; (1, 2, H, W) with its mask, if pixels are
    missing."""
    plain: Any = np.ma.getdata(thermal)
    parts = [plain, np.ma.getmaskarray(thermal)] if np.ma.is_masked(thermal) else [plain]
    return torch.from_numpy(np.stack(parts).astype(np.float32))[None]


def without_mask(moved: Tensor, thermal: Counts) -> Counts:
    """The interpolated tensor of :func:`with_mask` as an image of the type that ``thermal`` has. What is made from a
    missing pixel is missing, too."""
    array: Any = moved[0, 0].numpy()
    array = array if thermal.dtype == np.float32 else np.rint(array).astype(thermal.dtype)
    return array if moved.shape[1] == 1 else np.ma.MaskedArray(array, moved[0, 1].numpy() > _ROUNDING)
