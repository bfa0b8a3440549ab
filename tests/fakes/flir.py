"""A small radiometric JPEG as FLIR's cameras write it: a picture, and beside it raw counts with the constants that turn
them into temperatures. Laid out as https://exiftool.org/TagNames/FLIR.html describes."""

from __future__ import annotations

import io
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

R1, R2, B, F, OFFSET = 16556.0, 0.04585, 1428.0, 1.0, -342
"""Planck constants of a camera; OFFSET is called O."""
RAW_DATA, VISIBLE, CAMERA_INFO, PLACE = 1, 14, 32, 42
_DIRECTORY = 64  # where it starts
_CHUNK = 65535 - 10  # bytes that fit into an APP1 segment after its length and "FLIR\0", version, number and count


def to_raw(kelvin: npt.NDArray[np.float64]) -> npt.NDArray[np.uint16]:
    """Counts of a camera that sees a black body nearby: R1 / (R2 (exp(B / T) - F)) - O, rounded."""
    return np.rint(R1 / (R2 * (np.exp(B / kelvin) - F)) - OFFSET).astype(np.uint16)


def to_kelvin(raw: int) -> float:
    """The inverse for one count."""
    return B / math.log(R1 / (R2 * (raw + OFFSET)) + F)


def camera_info(**values: float) -> bytes:
    """The record of constants: emissivity 1, no air, no window, so that Planck's law alone counts."""
    record = bytearray(1024)
    floats = {
        "emissivity": (32, 1.0),
        "object_distance": (36, 0.0),
        "reflected_temperature": (40, 293.15),
        "air_temperature": (44, 293.15),
        "window_temperature": (48, 293.15),
        "window_transmission": (52, 1.0),
        "humidity": (60, 0.0),
        "r1": (88, R1),
        "b": (92, B),
        "f": (96, F),
        "alpha1": (112, 0.006569),
        "alpha2": (116, 0.01262),
        "beta1": (120, -0.002276),
        "beta2": (124, -0.00667),
        "x": (128, 1.9),
        "r2": (780, R2),
    }
    for name, (place, value) in floats.items():
        struct.pack_into("<f", record, place, values.get(name, value))
    struct.pack_into("<i", record, 776, OFFSET)
    return bytes(record)


def raw_data(raw: npt.NDArray[np.uint16], as_png: bool = False) -> bytes:
    """The record of counts: 32 bytes with the size, then little-endian shorts, or a PNG whose bytes are swapped."""
    height, width = raw.shape
    header = struct.pack("<HHH", 2, width, height).ljust(32, b"\0")
    if not as_png:
        return header + raw.astype("<u2").tobytes()
    stream = io.BytesIO()
    Image.fromarray(raw.byteswap()).save(stream, "PNG")
    return header + stream.getvalue()


def records(entries: dict[int, bytes]) -> bytes:
    """An FFF file of records by type. Two empty entries end its directory, as cameras leave free ones: flyr counts the
    file's head as two entries."""
    directory, data = b"", b""
    start = _DIRECTORY + 32 * (len(entries) + 2)
    for number, (kind, record) in enumerate(entries.items(), 1):
        subtype, version, parent = 2 if kind == RAW_DATA else 1, 100, 0
        place = start + len(data)
        directory += struct.pack(">HHIIIIIII", kind, subtype, version, number, place, len(record), parent, 0, 0)
        data += record
    count = len(entries) + 2
    head = b"FFF\0" + b"CAMCTRL\0".ljust(16, b"\0") + struct.pack(">IIII", 100, _DIRECTORY, count, count)
    return head.ljust(_DIRECTORY, b"\0") + directory.ljust(32 * count, b"\0") + data


def chunks(fff: bytes, size: int = _CHUNK) -> list[bytes]:
    """The APP1 segments that hold it."""
    parts = [fff[start : start + size] for start in range(0, len(fff), size)]
    heads = [b"FLIR\0" + bytes([1, number, len(parts) - 1]) for number in range(len(parts))]
    return [
        b"\xff\xe1" + struct.pack(">H", 10 + len(part)) + head + part for head, part in zip(heads, parts, strict=True)
    ]


def picture(size: tuple[int, int] = (80, 60), orientation: int = 1) -> bytes:
    """The JPEG without records, in false colours; another size than the counts, as in cameras."""
    stream, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    options = {} if orientation == 1 else {"exif": exif}
    Image.linear_gradient("L").resize(size).convert("RGB").save(stream, "JPEG", **options)
    return stream.getvalue()


def visible(picture: Image.Image, form: str = "JPEG", **options: Any) -> bytes:
    """The record of the visible picture: 32 bytes with its size, then the file."""
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return struct.pack("<HHH", 4, *picture.size).ljust(32, b"\0") + stream.getvalue()


def place(real_to_ir: float, offset_x: int, offset_y: int) -> bytes:
    """The record that says where the thermal image lies in the visible picture."""
    return struct.pack("<fhhhhhh", real_to_ir, offset_x, offset_y, 0, 0, 0, 0)


def write_both(
    path: Path, raw: npt.NDArray[np.uint16], visible: bytes, place: bytes | None, orientation: int = 1
) -> Path:
    """A radiometric JPEG with a visible picture inside."""
    entries = {RAW_DATA: raw_data(raw), VISIBLE: visible, CAMERA_INFO: camera_info()}
    if place is not None:
        entries[PLACE] = place
    return write_records(path, chunks(records(entries)), orientation)


def write_flir(path: Path, raw: npt.NDArray[np.uint16], as_png: bool = False, chunk: int = _CHUNK) -> Path:
    """A radiometric JPEG of these counts."""
    entries = {RAW_DATA: raw_data(raw, as_png), CAMERA_INFO: camera_info()}
    return write_records(path, chunks(records(entries), chunk))


def write_records(path: Path, segments: list[bytes], orientation: int = 1) -> Path:
    """The picture with these segments after its start."""
    jpeg = picture(orientation=orientation)
    path.write_bytes(jpeg[:2] + b"".join(segments) + jpeg[2:])
    return path
