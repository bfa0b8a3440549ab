"""JPEG files with the markers of radiometric cameras, and the names that DJI's drones give. Where the markers lie is
described at https://exiftool.org/TagNames/JPEG.html; the numbers inside are made up."""

from __future__ import annotations

import io
import struct
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

_SEGMENT = 65532  # bytes that DJI puts into one segment
MODELS = ("ZH20T", "MAVIC2-ENTERPRISE-ADVANCED", "M30T", "M3T")


def segment(marker: int, data: bytes) -> bytes:
    """A segment of a JPEG; marker 0xE3 is APP3."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def write_jpeg(
    path: Path, picture: npt.NDArray[Any], segments: bytes = b"", make: str = "", model: str = "", quality: int = 92
) -> Path:
    """A JPEG with further segments at its start, and the camera in its EXIF."""
    exif = Image.Exif()
    for tag, text in ((0x010F, make), (0x0110, model)):
        if text:
            exif[tag] = text
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", exif=exif, quality=quality)
    data = stream.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data[:2] + segments + data[2:])
    return path


def raw_segments(counts: npt.NDArray[np.uint16], marker: int = 0xE3) -> bytes:
    """Raw counts in as many segments as they need."""
    data = counts.astype("<u2").tobytes()
    return b"".join(segment(marker, data[at : at + _SEGMENT]) for at in range(0, len(data), _SEGMENT))


def write_rjpeg(path: Path, picture: npt.NDArray[np.uint8], model: str = "M3T", make: str = "DJI") -> Path:
    """A radiometric JPEG: the picture (H, W), raw counts of the same size in APP3, parameters in APP4."""
    return write_jpeg(
        path,
        np.dstack([picture] * 3),
        raw_segments(picture.astype(np.uint16) * 64) + segment(0xE4, bytes(2560)),
        make,
        model,
    )


def shot(number: int, sensor: str, seconds: float = 0.0) -> str:
    """A name such as DJI_20230101120000_0001_T: three seconds lie between shots, `seconds` are added to the time."""
    taken = datetime(2023, 1, 1, 12, 0, 0) + timedelta(seconds=3 * number + seconds)  # no zone in names
    return f"DJI_{taken:%Y%m%d%H%M%S}_{number:04d}_{sensor}"
