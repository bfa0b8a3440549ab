"""The position in the thermal image of each pixel of the RGB image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cimnet.data.io.thermal_scaling import Counts
from cimnet.errors import DataError
from cimnet.registration.matrices import Matrix, compose, resize, sample, warp

Size = tuple[int, int]
"""Height and width of an image in pixels."""

FEW = 0.5
"""Share of the RGB image that the thermal image covers, below which a mapping is said to look wrong."""
_ROUNDING = 0.01
"""Share of a missing pixel in a value up to which it is taken for rounding."""


@dataclass(frozen=True)
class Mapping:
    """The position in the thermal image of each RGB pixel: a 2×3 matrix, or positions (H, W, 2) as (x, y).

    Attributes:
        rgb_size, thermal_size: (height, width) of the images whose pixels these are; None: not known.
        source: where the mapping comes from, for messages.
    """

    matrix: Matrix | None = None
    positions: npt.NDArray[np.float64] | None = None
    rgb_size: Size | None = None
    thermal_size: Size | None = None
    source: str = "the mapping of the cameras"

    def at(self, rgb_size: Size, thermal_size: Size) -> Mapping:
        """The same mapping in pixels of images of these sizes. It is scaled where they are not those it was made for; a
        size that is not known is taken for the one given.

        Raises:
            DataError: images of another shape than those it was made for, or positions for another RGB size.
        """
        if self.positions is not None and self.positions.shape[:2] != rgb_size:
            height, width = self.positions.shape[:2]
            sizes = f"an RGB image of {rgb_size[1]}x{rgb_size[0]}, but the calibration was read for {width}x{height}"
            raise DataError(sizes)
        if (rgb_size, thermal_size) == (self.rgb_size, self.thermal_size):
            return self
        after = rescale("thermal", self.thermal_size or thermal_size, thermal_size, self.source)
        same = replace(self, rgb_size=rgb_size, thermal_size=thermal_size)
        if self.positions is not None:
            return replace(same, positions=self.positions @ after[:, :2].T + after[:, 2])
        assert self.matrix is not None
        stated = self.rgb_size or rgb_size
        rescale("RGB", stated, rgb_size, self.source)  # refuses another shape
        before = resize(rgb_size, stated)
        return replace(same, matrix=compose(after, compose(self.matrix, before)))

    def apply(self, thermal: Counts, size: tuple[int, int]) -> tuple[Counts, npt.NDArray[np.bool_]]:
        """Bring the thermal image into the frame of an RGB image (height, width). Returns the image, of the same type,
        and a mask of where it has values. Elsewhere its nearest value is repeated (zeros would widen the range of
        16-bit and float images). What is made from a missing pixel is missing, too.

        Raises:
            DataError: the thermal image has no value in the frame of the RGB image, or see :meth:`at`.
        """
        values, its = with_mask(thermal), self.at(size, (thermal.shape[0], thermal.shape[1]))
        if its.positions is None:
            assert its.matrix is not None
            moved, inside = warp(values, its.matrix, size, edge=True)
        else:
            u, v = (torch.from_numpy(its.positions[..., axis].astype(np.float32)) for axis in (0, 1))
            moved, inside = sample(values, u, v, edge=True)
        if not inside.any():
            raise DataError(
                f"{self.source}: no pixel of the RGB image ({size[1]}x{size[0]}) lies within the thermal image "
                f"({thermal.shape[1]}x{thermal.shape[0]}); it must lead from RGB to thermal pixels: check its "
                "direction, and the sizes of the images that it was made from"
            )
        return without_mask(moved, thermal), inside.numpy()


def rescale(kind: str, old: Size, new: Size, source: str) -> Matrix:
    """The matrix from pixels of an image of size `old` to those of the same picture at size `new`.

    Args:
        kind: "RGB" or "thermal", for the message.
        source: what was made for `old`.

    Raises:
        DataError: the two differ in shape by more than a rounded pixel, so they cannot be the same picture.
    """
    if abs(new[0] * old[1] - new[1] * old[0]) > old[0] + old[1]:
        raise DataError(
            f"{source}: made for {kind} images of {old[1]}x{old[0]}; these are {new[1]}x{new[0]}, which is another "
            "shape. Make it again from a pair of these sizes (`cimnet data align`)"
        )
    return resize(old, new)


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
