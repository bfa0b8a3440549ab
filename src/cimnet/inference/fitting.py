"""Bring thermal images into the frame of the RGB images of the same cameras."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F
from torch import Tensor

from cimnet.data.io.thermal_files import check_depth
from cimnet.data.io.thermal_scaling import Counts
from cimnet.errors import DataError
from cimnet.inference.predictor import Predictor
from cimnet.registration.mapping import FEW, Mapping, Size, with_mask, without_mask

if TYPE_CHECKING:
    from cimnet.registration.camera_calibration import Calibration

Fit = Literal["resize", "error"]


class Fitter:
    """Brings thermal images to the RGB images' size; keeps the last one, which often serves several RGB images.

    Args:
        size: (height, width) of the RGB frames.
        calibration: where thermal pixels lie, from `read_position`; None: by size alone.
        fit: whether frames of another size may be resized: than the RGB frames, or than those of the calibration.
        note: called once if they are, if a calibration does not say for which sizes it was made, and if by it the
            thermal image covers less than half of the RGB frame.

    Raises:
        DataError: the calibration was made for RGB frames of another shape.
    """

    def __init__(self, size: Size, calibration: Calibration | None, fit: Fit, note: Callable[[str], object]) -> None:
        self.size, self.calibration, self.fit, self.note = size, calibration, fit, note
        self.mapping = None if calibration is None else calibration.mapping(size)
        self._noted = False
        self._fixed: Mapping | None = None  # for thermal frames of the last size
        self._last: tuple[Counts, Counts] | None = None

    def __call__(self, thermal: Counts) -> Counts:
        """Raw values (H, W) of a thermal image, of the type they had.

        Raises:
            DataError: another size, where that is to be refused, another shape than a calibration was made for, or one
                by which the thermal image covers nothing of the RGB frame.
        """
        if self._last is None or self._last[0] is not thermal:
            self._last = thermal, self._fitted(thermal)
        return self._last[1]

    def _fitted(self, thermal: Counts) -> Counts:
        if self.calibration is not None and self.mapping is not None:
            return self._moved(thermal, self.calibration, self.mapping)
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

    def _moved(self, thermal: Counts, calibration: Calibration, mapping: Mapping) -> Counts:
        """Bring a thermal image into the frame of the RGB frames by the calibration; say what was assumed."""
        size = (thermal.shape[0], thermal.shape[1])
        if self._fixed is not None and self._fixed.thermal_size == size:
            return self._fixed.apply(thermal, self.size)[0]
        fixed = mapping.at(self.size, size)
        moved, inside = fixed.apply(thermal, self.size)
        rgb, heat = calibration.rgb_size or self.size, calibration.thermal_size or size
        here = f"RGB frames of {self.size[1]}x{self.size[0]} and thermal frames of {size[1]}x{size[0]}"
        if (rgb, heat) != (self.size, size):
            made = (
                f"{calibration.path}: made for RGB {rgb[1]}x{rgb[0]} and thermal {heat[1]}x{heat[0]}, here are {here}"
            )
            if self.fit == "error":
                raise DataError(f"{made}; make it again from a pair of these sizes, or allow thermal_fit resize")
            self.note(f"{made}: scaled, which is right if they show the same as at the other size (not cut)")
        if None in (calibration.rgb_size, calibration.thermal_size):
            said = "does not say the sizes of both images (rgb_size, thermal_size): taken as made for"
            self.note(f"{calibration.path}: {said} {here}")
        if (covered := float(inside.mean())) < FEW:
            self.note(f"{calibration.path}: the thermal image covers only {covered:.0%} of the RGB frame")
        self._fixed = fixed
        return moved


def read_position(path: Path | None) -> Calibration | None:
    """The file of `--calibration`, to be read before anything is opened or written. None: there is none.

    Raises:
        DataError, MissingExtra: see :func:`cimnet.registration.camera_calibration.read_calibration`.
    """
    if path is None:
        return None
    from cimnet.registration.camera_calibration import read_calibration

    return read_calibration(path)


def frame_tensors(
    rgb: npt.NDArray[np.uint8] | None, counts: Counts | None, predictor: Predictor, path: Path | str
) -> tuple[Tensor, Tensor]:
    """The model's input, as of `Predictor.tensors`, for the frames of two streams.

    Args:
        rgb: (H, W, 3); None: missing.
        counts: raw thermal values (H, W), of floats in the unit of training; None: missing.
        path: the thermal stream, which messages name.

    Raises:
        RangeError: thermal values far outside the range of training.
        DataError: another depth than in training, or another size than the RGB frame.
    """
    if counts is not None and counts.dtype == np.float32:
        info = predictor.info
        check_depth(counts, info.thermal_dtype, path)
        info.scaling.check_range(counts, path, predictor.settings.force_range)
        counts = info.scaling(counts, path)  # the predictor takes floats for values in 0..1
    return predictor.tensors(rgb, counts, path)


def resized(thermal: Counts, size: tuple[int, int]) -> Counts:
    """Bilinear, with antialiasing where it shrinks; the type stays, and missing pixels stay missing."""
    small = F.interpolate(with_mask(thermal), size=size, mode="bilinear", align_corners=False, antialias=True)
    return without_mask(small, thermal)
