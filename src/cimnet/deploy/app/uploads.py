"""Uploaded files, checked before they are decoded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cimnet.data.io.open_image import image_size
from cimnet.data.io.readers import read_rgb
from cimnet.data.io.thermal_files import is_radiometric
from cimnet.errors import DataError, check_fields
from cimnet.inference import Predictor

LEAST_SIDE = 32
"""Pixels that an image has along each side at least: the stride of the models."""


@dataclass(frozen=True)
class Limits:
    """Limits of the page.

    Attributes:
        megabytes: largest file, 10⁶ bytes.
        pixels: largest image, pixels.
        queue: number of visitors that may wait for the model; further ones are asked to come back.
        sessions: number of visitors whose images are kept in memory; those of the first visitor are dropped first.
        uploads: number of files that one address may send in a minute.
        disk_megabytes: disk space for the files of all visitors, 10⁶ bytes; the oldest are deleted first.

    Raises:
        ConfigError: a limit is out of range; the message names it.
    """

    megabytes: float = 20.0
    pixels: int = 4_000_000
    queue: int = 16
    sessions: int = 24
    uploads: int = 30
    disk_megabytes: float = 1000.0

    def __post_init__(self) -> None:
        check_fields(
            self,
            ("megabytes", 0 < self.megabytes < float("inf"), "more than 0"),
            ("pixels", self.pixels >= LEAST_SIDE**2, f"at least {LEAST_SIDE**2}"),
            ("queue", self.queue >= 1, "at least 1"),
            ("sessions", self.sessions >= 1, "at least 1"),
            ("uploads", self.uploads >= 1, "at least 1"),
            ("disk_megabytes", self.disk_megabytes >= 2 * self.megabytes, "at least twice megabytes"),
        )

    @property
    def bytes(self) -> int:
        return int(self.megabytes * 1e6)

    @property
    def disk_bytes(self) -> int:
        return int(self.disk_megabytes * 1e6)


def check_upload(path: Path, limits: Limits) -> None:
    """Refuse a file by its length and header alone; its name says nothing.

    Raises:
        DataError: too long, not an image of a kind that is read, too large or too small.
    """
    size = path.stat().st_size
    if size > limits.bytes:
        raise DataError(f"{path}: {size / 1e6:.1f} MB; files up to {limits.megabytes:g} MB are accepted")
    height, width = image_size(path)
    if height * width > limits.pixels:
        raise DataError(
            f"{path}: {width}×{height} are {height * width / 1e6:.1f} megapixels; images up to "
            f"{limits.pixels / 1e6:g} megapixels are taken. Cut or shrink it, or use `cimnet predict`"
        )
    if min(height, width) < LEAST_SIDE:
        raise DataError(f"{path}: {width}×{height} pixels; at least {LEAST_SIDE} along each side are needed")


def read_upload_rgb(path: Path, limits: Limits) -> npt.NDArray[np.uint8]:
    """An uploaded colour image as (H, W, 3) uint8.

    Raises:
        DataError: it is refused or cannot be read; the message names the file, not its folder.
    """

    def read() -> npt.NDArray[np.uint8]:
        check_upload(path, limits)
        return read_rgb(path)

    return _named(path, read)


def read_upload_thermal(path: Path, limits: Limits, predictor: Predictor) -> npt.NDArray[np.float32]:
    """An uploaded thermal image as (H, W) float32 in 0..1, by the checkpoint's scaling. 16 bits stay 16 bits.

    Raises:
        DataError: it is refused or cannot be read, or has another depth than the checkpoint's training images.
    """

    def read() -> npt.NDArray[np.float32]:
        check_upload(path, limits)
        if is_radiometric(path):  # the size of the record inside is not the picture's
            raise DataError(f"{path}: a radiometric FLIR JPEG; save its temperatures as TIFF, or use `cimnet predict`")
        return predictor.tensors(None, path)[1][0].numpy()

    return _named(path, read)


def _named(path: Path, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except DataError as error:
        raise DataError(str(error).replace(str(path), path.name)) from error
