"""Find images that would take far more memory or time than their length suggests, before Pillow reads them.

Tables of tags (TIFF directories, also inside EXIF): Pillow keeps a copy of the value of each tag. Values may overlap in
the file, so 65,000 tags that all name the same megabyte take 65 GB. Here the sizes are added up first.

Scans of a progressive JPEG: each goes over the whole picture and may be 12 bytes long, so 20 MB of them take hours.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator
from pathlib import Path

from cimnet.errors import DataError

_MOST_TAGS, _MOST_TABLES = 4096, 10_000
_MOST_SCANS, _MOST_SEGMENTS = 100, 10_000
"""Of a JPEG. Progressive ones have about ten scans; libtiff's limit for JPEG in TIFF is 100, too."""
_MARKER, _SCAN, _END = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]"), 0xDA, 0xD9
"""Markers, except those inside a scan: a byte 255 of its data, and restarts."""
_SHARED = 2
"""Values that tags share may make the sum this many times as large as the file; cameras and GIS share a few."""
_UNITS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_ORDERS = {b"II": "<", b"MM": ">"}
_PNG = b"\x89PNG\r\n\x1a\n"
Data = bytes | mmap.mmap


def check_directories(path: Path) -> None:
    """Refuse an image that would take far more memory or time than it is long. What is no TIFF, JPEG or PNG passes.

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
        for part in _of_jpeg(data, path):
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
            raise DataError(f"{path}: a table of {tags:,} tags, or more tables than images have; save the image again")
        for number in range(tags):
            if first + (number + 1) * step > len(data):
                return
            _, kind, amount, _ = struct.unpack_from(f"{order}{entry}", data, first + number * step)
            size = amount * _UNITS.get(kind, 0)
            held += size if size > inline else 0
        if held > _SHARED * len(data):
            raise DataError(
                f"{path}: its tags hold {held / 1e6:,.1f} MB, the file is {len(data) / 1e6:.1f} MB long; save the "
                "image again, without these tags"
            )
        end = first + tags * step
        if end + inline > len(data):
            return
        place = struct.unpack_from(f"{order}{word}", data, end)[0]


def _of_jpeg(data: Data, path: Path) -> Iterator[bytes]:
    """EXIF, whose parts Pillow joins, and the tables of an MPO.

    Raises:
        DataError: more scans or segments than pictures have.
    """
    exif, scans = b"", 0
    for count, (marker, start, end) in enumerate(_segments(data)):
        scans += marker == _SCAN
        if scans > _MOST_SCANS or count > _MOST_SEGMENTS:
            raise DataError(f"{path}: a JPEG of more than {scans - 1} scans or {count} segments; save the image again")
        if not scans and marker == 0xE1 and data[start : start + 6] == b"Exif\0\0":
            exif += data[start + 6 : end]
        elif not scans and marker == 0xE2 and data[start : start + 4] == b"MPF\0":
            yield data[start + 4 : end]
    yield exif


def _segments(data: Data) -> Iterator[tuple[int, int, int]]:
    """Each marker of a JPEG with a content up to the picture's end, and where the content begins and ends."""
    place = 2
    while found := _MARKER.search(data, place):
        place, marker = found.end(), data[found.end() - 1]
        if marker == _END or place + 2 > len(data):
            return
        if marker in (0x01, 0xD8):  # without a content
            continue
        end = place + max(2, int.from_bytes(data[place : place + 2], "big"))
        yield marker, place + 2, end
        place = end


def _of_png(data: Data) -> Iterator[bytes]:
    place = len(_PNG)
    while place + 8 <= len(data):
        length, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        if kind == b"eXIf":
            yield data[place + 8 : place + 8 + length].removeprefix(b"Exif\0\0")
        place += 12 + length
