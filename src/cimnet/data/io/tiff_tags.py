"""The tags of a TIFF file, read without decoding it: every page's, bounded in number and length.

Pillow tells them only for files that it can decode. What they say is needed for the others, too: to refuse a file for
what it is.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PAGES = 4096
_ENTRIES = 1024
_BYTES = 1 << 20
"""Directories, entries of one and bytes of a value beyond these are left out: a small file may claim billions."""
_TYPES = {
    1: "B", 2: "s", 3: "H", 4: "I", 5: "II", 6: "b", 7: "s", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d",
    13: "I", 16: "Q", 17: "q", 18: "Q",
}  # fmt: skip

SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, ORIENTATION, SAMPLES = 254, 256, 257, 258, 259, 262, 274, 277
PLANAR, EXTRA, SAMPLE_FORMAT, XMP = 284, 338, 339, 700
TIEPOINTS, PIXEL_SCALE, MATRIX, GDAL_METADATA, GDAL_NODATA, RPC = 33922, 33550, 34264, 42112, 42113, 50844
_WANTED = {
    SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, ORIENTATION, SAMPLES, PLANAR, EXTRA, SAMPLE_FORMAT, XMP,
    TIEPOINTS, PIXEL_SCALE, MATRIX, GDAL_METADATA, GDAL_NODATA, RPC,
}  # fmt: skip
_REDUCED, _MASK = 1, 4  # bits of SUBFILE: an overview or thumbnail, a mask of what is transparent

COMPRESSIONS = {
    1: "none", 2: "CCITT", 3: "CCITT group 3", 4: "CCITT group 4", 5: "LZW", 6: "old JPEG", 7: "JPEG", 8: "Deflate",
    32773: "PackBits", 32946: "Deflate", 34712: "JPEG 2000", 34887: "LERC", 34925: "LZMA", 50000: "Zstandard",
    50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
PHOTOMETRICS = {
    0: "white is zero", 1: "black is zero", 2: "RGB", 3: "palette", 4: "mask", 5: "CMYK", 6: "YCbCr", 8: "CIELab",
    32803: "colour filter array", 34892: "linear raw",
}  # fmt: skip

Tags = dict[int, tuple[Any, ...]]


@dataclass(frozen=True)
class TiffFile:
    """Tags of the pages of a TIFF. Overviews are left out.

    Attributes:
        pages: tags by number, of each image that is not an overview or a mask.
        mask: number of the directory that holds the mask of the first page; None where it has none.
    """

    pages: list[Tags] = field(default_factory=list)
    mask: int | None = None

    def numbers(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Integers of a tag of the first page."""
        values = self.pages[0].get(tag, default) if self.pages else default
        return tuple(value for value in values if isinstance(value, int)) or default

    def number(self, tag: int, default: int) -> int:
        """The first of these integers."""
        return self.numbers(tag, (default,))[0]

    def text(self, tag: int) -> str:
        """The text of a tag of the first page, "" where there is none."""
        values = self.pages[0].get(tag, ()) if self.pages else ()
        raw = values[0] if values and isinstance(values[0], bytes) else bytes(v for v in values if isinstance(v, int))
        return raw.rstrip(b"\0").decode("utf-8", "replace")

    def gdal(self, role: str) -> dict[int, str]:
        """Return GDAL's metadata of one role: text by band number, from 0. Role "" stands for items without a role."""
        found = {}
        for attributes, value in re.findall(r"<Item([^>]*)>([^<]*)</Item>", self.text(GDAL_METADATA)):
            named = dict(re.findall(r'(\w+)="([^"]*)"', attributes))
            if named.get("role", "").lower() == role:
                found[int(named["sample"]) if named.get("sample", "").isdigit() else 0] = value.strip()
        return found


def read_tiff(path: Path) -> TiffFile:
    """The tags of a TIFF, classic or BigTIFF; no pages where the file is none or cut off before them."""
    try:
        with path.open("rb") as file:
            directories = list(_directories(file))
    except (OSError, struct.error, ValueError, OverflowError):
        return TiffFile()
    kinds = [int(tags.get(SUBFILE, (0,))[0]) for tags in directories]
    mask = next((i for i, kind in enumerate(kinds) if kind & _MASK and not kind & _REDUCED), None)
    pages = [tags for tags, kind in zip(directories, kinds, strict=True) if not kind & (_MASK | _REDUCED)]
    return TiffFile(pages or directories[:1], mask)


def _directories(file: BinaryIO) -> Iterator[Tags]:
    start = file.read(16)
    if start[:4] not in MAGIC:
        return
    order, big = ("<" if start[:2] == b"II" else ">"), start[2:4] in (b"+\0", b"\0+")
    place = struct.unpack(f"{order}Q", start[8:16])[0] if big else struct.unpack(f"{order}I", start[4:8])[0]
    seen: set[int] = set()
    while place and place not in seen and len(seen) < _PAGES:
        seen.add(place)
        try:
            tags, place = _directory(file, place, order, big, first=len(seen) == 1)
        except struct.error:  # cut off here
            return
        yield tags


def _directory(file: BinaryIO, place: int, order: str, big: bool, first: bool) -> tuple[Tags, int]:
    """Tags of one directory, and where the next one lies; of all but the first only what it is."""
    file.seek(place)
    (count,) = struct.unpack(f"{order}{'Q' if big else 'H'}", file.read(8 if big else 2))
    size = 20 if big else 12
    entries = file.read(size * min(count, _ENTRIES))
    file.seek(place + (8 if big else 2) + size * count)
    after = file.read(8 if big else 4)
    following = struct.unpack(f"{order}{'Q' if big else 'I'}", after)[0] if len(after) == (8 if big else 4) else 0
    tags: Tags = {}
    for at in range(0, len(entries) - size + 1, size):
        entry = entries[at : at + size]
        tag, kind = struct.unpack_from(f"{order}HH", entry)
        if (tag in _WANTED if first else tag == SUBFILE) and kind in _TYPES:
            values = _values(file, entry, order, big, kind)
            if values:
                tags[tag] = values
    return tags, following


def _values(file: BinaryIO, entry: bytes, order: str, big: bool, kind: int) -> tuple[Any, ...]:
    (count,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", entry, 4)
    code = _TYPES[kind]
    length = count if code == "s" else count * struct.calcsize(f"{order}{code}")
    inline = entry[12:] if big else entry[8:]
    if length > _BYTES:
        return ()
    if length > len(inline):
        file.seek(struct.unpack(f"{order}{'Q' if big else 'I'}", inline)[0])
        inline = file.read(length)
        if len(inline) < length:
            return ()
    if code == "s":
        return (inline[:length],)
    return struct.unpack(f"{order}{count * len(code)}{code[0]}", inline[:length])
