"""Temperatures inside a JPEG, beside the picture that it shows: which camera wrote them, and FLIR's in kelvin."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from cimnet.errors import DataError, one_line
from cimnet.utils.extras import require

_MOST_RECORDS = 10_000  # in a FLIR file; cameras write a few dozen
_RAW_COUNTS = 1  # FLIR's type of record
_MAKE, _MODEL = 0x010F, 0x0110
_LONGEST = 60  # characters of a camera's name that are shown
_RAW_SEGMENTS = tuple(f"APP{number}" for number in range(3, 10))
"""Where cameras keep their sensor's values. APP1 and APP2 hold EXIF, XMP and colour profiles, the later ones hold
annotations (C2PA, Photoshop, Adobe)."""
_PREVIEW = b"\xff\xd8"

UNREAD_MAKERS = ("DJI", "InfiRay", "other")
"""Of the answers of `maker`, those whose temperatures are not read here."""


def maker(image: Image.Image) -> str:
    """Name the maker of the camera whose temperatures an opened file holds: "FLIR", "DJI", "InfiRay", or "other" of a
    camera that is not known here; "" where it is a picture alone, "FLIR without counts" of a picture that a FLIR camera
    wrote without temperatures.

    By the segments that ExifTool goes by (https://exiftool.org/TagNames/JPEG.html): FLIR's APP1 with a record of raw
    counts; APP3 or APP4 of a camera made by DJI; InfiRay's APP2 that says IJPEG. "other" has in APP3 to APP9 at least
    half a byte for each pixel of the picture that is no preview picture: a sensor's values of two bytes, beside a
    picture of up to twice its width.
    """
    segments = getattr(image, "applist", ())
    flir = [data for name, data in segments if name == "APP1" and data.startswith(b"FLIR\0")]
    if flir:
        return "FLIR" if _has_counts(flir) else "FLIR without counts"
    if any(name == "APP2" and data[4:10] == b"IJPEG\0" for name, data in segments):
        return "InfiRay"
    if any(name in ("APP3", "APP4") for name, _ in segments) and "DJI" in str(image.getexif().get(_MAKE, "")).upper():
        return "DJI"
    raw = [data for name, data in segments if name in _RAW_SEGMENTS]
    size = sum(map(len, raw))
    return "other" if 2 * size >= image.width * image.height and not raw[0].startswith(_PREVIEW) else ""


def camera(image: Image.Image) -> str:
    """The camera that wrote an opened JPEG by its EXIF, such as "DJI M3T"; "" where it does not say."""
    exif = image.getexif()
    make, model = ("".join(filter(str.isprintable, str(exif.get(tag, "")))) for tag in (_MAKE, _MODEL))
    known = model.upper().startswith(make.upper())
    return " ".join((model if known else f"{make} {model}").split())[:_LONGEST]


def _has_counts(segments: list[bytes]) -> bool:
    """Whether FLIR's directory names a record of raw counts; True where it cannot be read."""
    try:
        data = b"".join(segment[8:] for segment in sorted(segments, key=lambda segment: segment[6]))
        order = ">" if 0 < struct.unpack_from(">I", data, 20)[0] < 1000 else "<"
        place, count = struct.unpack_from(f"{order}II", data, 24)
        types = [struct.unpack_from(f"{order}H", data, place + 32 * i)[0] for i in range(min(count, _MOST_RECORDS))]
    except (struct.error, IndexError):
        return True
    return not any(types) or _RAW_COUNTS in types


def read_kelvin(path: Path) -> npt.NDArray[np.float32]:
    """The temperatures (H, W) of a radiometric FLIR JPEG, as the sensor lay; NaN where a count has none.

    Raises:
        DataError: flyr is not installed, or the record is damaged.
    """
    flyr = require("flyr", "thermal", f"{path}: the temperatures of a radiometric FLIR JPEG")
    with _told(path), path.open("rb") as file, np.errstate(all="ignore"):  # counts without a temperature become NaN
        _extract(file)
        file.seek(0)
        return np.ascontiguousarray(flyr.unpack(file).kelvin, dtype=np.float32)


def read_records(path: Path, kinds: Collection[int]) -> dict[int, bytes]:
    """Records of a radiometric FLIR JPEG by FLIR's type, of these types those that it has.

    Raises:
        DataError: flyr is not installed, or the directory of records is damaged.
    """
    require("flyr", "thermal", f"{path}: the records of a radiometric FLIR JPEG")
    from flyr.records import parse_flir_records

    with _told(path), path.open("rb") as file:
        data = _extract(file)
        places = parse_flir_records(data)
        whole = data.getvalue()
    return {kind: whole[at : at + size] for kind, (_, _, at, size) in places.items() if kind in kinds}


def _extract(file: BinaryIO) -> BytesIO:
    """FLIR's part of a JPEG.

    Raises:
        ValueError: there is none, or it claims more records than cameras write: flyr would look for each of them.
    """
    from flyr.records import extract_flir_app1

    data: BytesIO = extract_flir_app1(file)
    records = int.from_bytes(data.read(32)[28:], "big")
    if records > _MOST_RECORDS:
        raise ValueError(f"it claims {records} records")
    data.seek(0)
    return data


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # flyr raises many kinds on damaged records
        reason = one_line(f"{type(error).__name__}: {error}")
        raise DataError(f"{path}: its FLIR temperature record cannot be read ({reason}); export it as TIFF") from error
