"""Bring thermal images into the frame of the RGB images of the same cameras."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch.nn.functional as F

from cimnet.data.io.thermal_files import check_depth
from cimnet.data.io.thermal_scaling import Counts
from cimnet.errors import DataError
from cimnet.inference.predictor import Predictor
from cimnet.registration.mapping import with_mask, without_mask

if TYPE_CHECKING:
    from cimnet.registration.camera_calibration import Calibration

Fit = Literal["resize", "error"]


class Fitter:
    """Brings thermal images to the RGB images' size; keeps the last one, which often serves several RGB images.

    Args:
        size: (height, width) of the RGB frames.
        calibration: where thermal pixels lie, from `read_position`; None: by size alone.
        fit: whether frames of another size may be resized.
        note: called once if they are.
    """

    def __init__(
        self, size: tuple[int, int], calibration: Calibration | None, fit: Fit, note: Callable[[str], object]
    ) -> None:
        self.size, self.fit, self.note = size, fit, note
        self.mapping = None if calibration is None else calibration.mapping(size)
        self._noted = False
        self._last: tuple[Counts, Counts] | None = None

    def __call__(self, thermal: Counts) -> Counts:
        """Raw values (H, W) of a thermal image, of the type they had.

        Raises:
            DataError: another size, where that is to be refused.
        """
        if self._last is None or self._last[0] is not thermal:
            self._last = thermal, self._fitted(thermal)
        return self._last[1]

    def _fitted(self, thermal: Counts) -> Counts:
        if self.mapping is not None:
            return self.mapping.apply(thermal, self.size)[0]
        if thermal.shape == self.size:
            return thermal
        sizes = f"thermal frames are {thermal.shape[1]}x{thermal.shape[0]}, RGB frames {self.size[1]}x{self.size[0]}"
        if self.fit == "error":
            raise DataError(f"{sizes}; register them first (`cimnet data align`), or allow thermal_fit resize")
        if not self._noted:
            self._noted = True
            self.note(
                f"{sizes}: resized, which is right for cameras that see the same. For others, `cimnet data align "
                "--json` on one pair of frames makes a file for --calibration"
            )
        return resized(thermal, self.size)


def read_position(path: Path | None) -> Calibration | None:
    """The file of `--calibration`, to be read before anything is opened or written. None: there is none.

    Raises:
        DataError, MissingExtra: see :func:`cimnet.registration.camera_calibration.read_calibration`.
    """
    if path is None:
        return None
    from cimnet.registration.camera_calibration import read_calibration

    return read_calibration(path)


def model_values(counts: Counts, predictor: Predictor, path: Path | str) -> Counts:
    """Thermal values (H, W) as `Predictor.tensors` takes them: counts stay, floats are scaled to 0..1.

    Raises:
        DataError: another depth than in training, or values far outside the range of training; it names ``path``.
    """
    info = predictor.info
    check_depth(counts, info.thermal_dtype, Path(path))
    if counts.dtype != np.float32:
        return counts
    info.scaling.check_range(counts, Path(path), predictor.settings.force_range)
    return info.scaling(counts, Path(path))  # the predictor takes floats for values in 0..1


def resized(thermal: Counts, size: tuple[int, int]) -> Counts:
    """Bilinear, with antialiasing where it shrinks; the type stays, and missing pixels stay missing."""
    small = F.interpolate(with_mask(thermal), size=size, mode="bilinear", align_corners=False, antialias=True)
    return without_mask(small, thermal)
