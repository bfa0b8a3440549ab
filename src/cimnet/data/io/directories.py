"""Tables of tags (TIFF directories, also inside EXIF) are looked at before Pillow reads them.

Pillow keeps a copy of the value of each tag. Values may overlap in the file, so 65,000 tags that all name the same
megabyte take 65 GB. Here the sizes are added up first.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

from cimnet.errors import DataError

_MOST_TAGS, _MOST_TABLES = 4096, 10_000
_SHARED = 2
"""Values that tags share may make the sum this many times as large as the file; cameras and GIS share a few."""
_UNITS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_ORDERS = {b"II": "<", b"MM": ">"}
_PNG = b"\x89PNG\r\n\x1a\n"
Data = bytes | mmap.mmap


def check_directories(path: Path) -> None:
    """Refuse an image whose tags would take far more memory than the file is long. What is no TIFF, JPEG or PNG passes.

    Raises:
        DataError: naming the file.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if len(file.read(8)) < 8:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            check_tags(data, path)


def check_tags(data: Data, path: Path) -> None:
    """The same of an image's bytes, also of one inside the file `path`.

    Raises:
        DataError: naming the file.
    """
    if data[:2] in _ORDERS:
        _check_tables(data, path)
    elif data[:3] == b"\xff\xd8\xff":
        for part in _of_jpeg(data):
            _check_tables(part, path)
    elif data[:8] == _PNG:
        for part in _of_png(data):
            _check_tables(part, path)


def _check_tables(data: Data, path: Path) -> None:
    """Add up what the tags of all tables in a chain hold."""
    order = _ORDERS.get(bytes(data[:2]))
    if order is None or len(data) < 16:
        return
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    word, count, entry = ("Q", "Q", "HHQQ") if big else ("I", "H", "HHII")
    inline, step = struct.calcsize(f"{order}{word}"), struct.calcsize(f"{order}{entry}")
    place = struct.unpack_from(f"{order}{word}", data, 8 if big else 4)[0]
    held, seen = 0, set[int]()
    while place and place not in seen:
        seen.add(place)
        first = place + struct.calcsize(f"{order}{count}")
        if first > len(data):
            return  # Pillow says what is wrong
        tags = struct.unpack_from(f"{order}{count}", data, place)[0]
        if tags > _MOST_TAGS or len(seen) > _MOST_TABLES:
            raise DataError(f"{path}: a table of {tags:,} tags, or more tables than images have; save the image anew")
        for number in range(tags):
            if first + (number + 1) * step > len(data):
                return
            _, kind, amount, _ = struct.unpack_from(f"{order}{entry}", data, first + number * step)
            size = amount * _UNITS.get(kind, 0)
            held += size if size > inline else 0
        if held > _SHARED * len(data):
            raise DataError(
                f"{path}: its tags hold {held / 1e6:,.1f} MB, the file is {len(data) / 1e6:.1f} MB long; save the "
                "image anew, without these tags"
            )
        end = first + tags * step
        if end + inline > len(data):
            return
        place = struct.unpack_from(f"{order}{word}", data, end)[0]


def _of_jpeg(data: Data) -> Iterator[bytes]:
    """EXIF, whose parts Pillow joins, and the tables of an MPO."""
    exif, place = b"", 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == 0xDA:  # the picture begins
            break
        if marker == 0xFF or 0xD0 <= marker <= 0xD8 or marker == 1:  # filling, or markers without a length
            place += 1 if marker == 0xFF else 2
            continue
        content = data[place + 4 : place + 2 + length]
        if marker == 0xE1 and content.startswith(b"Exif\0\0"):
            exif += content[6:]
        elif marker == 0xE2 and content.startswith(b"MPF\0"):
            yield content[4:]
        place += 2 + max(2, length)
    yield exif


def _of_png(data: Data) -> Iterator[bytes]:
    place = len(_PNG)
    while place + 8 <= len(data):
        length, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        if kind == b"eXIf":
            yield data[place + 8 : place + 8 + length].removeprefix(b"Exif\0\0")
        place += 12 + length
