"""Thermal files as they come: 8 and 16 bit images, float TIFF, arrays of temperatures (.npy), radiometric FLIR JPEG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cimnet.data.io.palettes import name_palette
from cimnet.data.io.readers import (
    LOSSY,
    channel_bits,
    image_size,
    opened,
    read_rgb,
    read_rgbt,
    refuse_pipe,
    same_file,
    upright,
)
from cimnet.data.io.thermal_scaling import Counts
from cimnet.errors import DataError
from cimnet.utils.extras import require

_MOST_RECORDS = 10_000  # in a FLIR file; cameras write a few dozen
_GREY_TOLERANCE = 16  # largest difference between "equal" channels of a JPEG, which rounds colours


def thermal_size(path: Path) -> tuple[int, int]:
    """(height, width) of a thermal file: of the temperatures, where a JPEG holds them beside a picture.

    Raises:
        DataError: see `read_thermal_counts`.
    """
    if path.suffix.lower() == ".npy":
        height, width = _open_npy(path).shape
        return height, width
    if path.suffix.lower() in (".jpg", ".jpeg") and is_radiometric(path):
        height, width = read_thermal_counts(path).shape
        return height, width
    return image_size(path)


def read_thermal_counts(path: Path) -> Counts:
    """The raw values of a thermal file, (H, W): uint8, uint16 or float32.

    Accepts one-channel 8-bit images, 16-bit PNG and TIFF, float TIFF, grey images saved with three channels, `.npy`
    arrays (float: as they are, for example degrees Celsius), and radiometric FLIR JPEG (kelvin; extra `thermal`).

    Raises:
        DataError: the file cannot be decoded, or its colours differ: a palette was burnt into it.
    """
    if path.suffix.lower() == ".npy":
        return _read_npy(path)
    with opened(path) as image:
        if _holds_temperatures(image):
            return _read_radiometric(path)
        deep_colour = image.mode in ("RGB", "RGBA", "LA") and channel_bits(image, path) == 16
        if deep_colour:
            raise DataError(
                f"{path}: 16-bit thermal values in a {image.format} of mode {image.mode} would be cut to 8 bits; "
                "save one 16-bit grey channel"
            )
        if image.mode == "1":
            raise DataError(f"{path}: a 1-bit image holds two values only; save thermal images with 8 or 16 bits")
        tolerance = _GREY_TOLERANCE if image.format in LOSSY else 0
        picture = upright(image)
        if picture.mode == "L":
            return np.array(picture)
        if picture.mode == "F":
            return np.array(picture, dtype=np.float32)
        if picture.mode.startswith("I"):
            return as_uint16(np.array(picture), path)
        if picture.mode == "LA":
            return np.array(picture.getchannel("L"))
        return _grey(np.array(picture.convert("RGB")), tolerance, path)


def read_pair(rgb: Path, thermal: Path) -> tuple[npt.NDArray[np.uint8], Counts]:
    """RGB (H, W, 3) uint8 and raw thermal values (H, W) of two files, or of one 4-channel file given twice.

    Raises:
        DataError: see `read_rgb`, `read_thermal_counts` and `read_rgbt`.
    """
    return read_rgbt(rgb) if same_file(rgb, thermal) else (read_rgb(rgb), read_thermal_counts(thermal))


def check_depth(counts: Counts, dtype: str | None, path: Path | str = "thermal") -> None:
    """Refuse thermal values of another depth than `dtype`: counts of 8 and of 16 bits have different units.

    Raises:
        DataError: naming the file.
    """
    if dtype is not None and counts.dtype.name != dtype:
        raise DataError(
            f"{path}: thermal values of type {counts.dtype.name} where {dtype} is expected, as in training; convert "
            "the image to that depth and unit"
        )


def as_uint16(values: npt.NDArray[Any], path: Path | str) -> npt.NDArray[np.uint16]:
    """Integer counts as uint16; DataError where they do not fit."""
    if values.min() < 0 or values.max() > 65535:
        raise DataError(f"{path}: thermal counts {values.min()}..{values.max()} do not fit 16 bits (0..65535)")
    return values.astype(np.uint16)


def is_radiometric(path: Path) -> bool:
    """Whether a JPEG carries FLIR's temperature record beside its picture."""
    with opened(path) as image:
        return _holds_temperatures(image)


def _holds_temperatures(image: Image.Image) -> bool:
    return any(name == "APP1" and data.startswith(b"FLIR\0") for name, data in getattr(image, "applist", ()))


def _read_radiometric(path: Path) -> npt.NDArray[np.float32]:
    flyr = require("flyr", "thermal", f"{path}: the temperatures of a radiometric FLIR JPEG")
    from flyr.records import extract_flir_app1

    try:
        with path.open("rb") as file, np.errstate(all="ignore"):  # counts without a temperature become NaN
            records = int.from_bytes(extract_flir_app1(file).read(32)[28:], "big")
            if records > _MOST_RECORDS:  # flyr would look for each of them
                raise ValueError(f"it claims {records} records")
            file.seek(0)
            return np.ascontiguousarray(flyr.unpack(file).kelvin, dtype=np.float32)
    except Exception as error:  # flyr raises many kinds on damaged records
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise DataError(f"{path}: its FLIR temperature record cannot be read ({reason}); export it as TIFF") from error


def _open_npy(path: Path) -> npt.NDArray[Any]:
    try:
        refuse_pipe(path)
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except DataError:
        raise
    except Exception as error:  # numpy raises many kinds on damaged files
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"{path}: cannot be read as a .npy array ({reason}); save it with numpy.save") from error
    if not isinstance(values, np.ndarray) or values.ndim != 2 or not values.size or values.dtype.kind not in "uif":
        shape = getattr(values, "shape", None)
        raise DataError(f"{path}: an array {shape} of {getattr(values, 'dtype', None)}; expected numbers (H, W)")
    return values


def _read_npy(path: Path) -> Counts:
    values = _open_npy(path)
    if values.dtype == np.uint8:
        return np.array(values)
    return np.array(values, dtype=np.float32) if values.dtype.kind == "f" else as_uint16(np.array(values), path)


def _grey(values: npt.NDArray[np.uint8], tolerance: int, path: Path) -> npt.NDArray[np.uint8]:
    """The one channel of a grey image saved with three."""
    spread = int((values.max(axis=2) - values.min(axis=2)).max())
    if spread > tolerance:
        name = name_palette(values)
        which = (
            f"a palette much like '{name}' was burnt in" if name else "a palette was burnt in, or it is an RGB image"
        )
        raise DataError(
            f"{path}: a thermal image with colours (channels differ by up to {spread}), which hide the temperatures: "
            f"{which}; export it in grey (white hot), 8 or 16 bit"
        )
    return np.ascontiguousarray(values[..., 1])
