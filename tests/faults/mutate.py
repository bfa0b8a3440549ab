"""Change bytes at random, the same for the same random numbers."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Sequence

_NUMBERS = (0, 1, 2, 7, 8, 16, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)
_WORDS = (
    b"", b"\0", b"\n", b"\r\n", b"\t", b"..", b"/", b"../../x", b"\xff\xfe", b"\xef\xbb\xbf", "ä".encode(),
    b"a\xcc\x88", b"-1", b"1e999", b".nan", b"null", b"true", b"[", b"]", b"{", b"}", b":", b"- ", b"&a ", b"*a",
    b"!!python/name:os ", b"? ", b"<<: ", b"'", b'"', b"%", b"9" * 5000, b"[" * 800, b"0x1F", b"2020-99-99", b"PK",
    b"\x1f\x8b", b"IHDR", b"\xff\xe1",
)  # fmt: skip


def mutate(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds with some changes; half of the time checksums and lengths are made to fit again."""
    data = bytearray(rng.choice(seeds))
    for _ in range(min(40, int(rng.expovariate(0.4)) + 1)):
        _change(rng, data, seeds)
    return repair(bytes(data)) if rng.random() < 0.5 else bytes(data)


def _change(rng: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    # the first bytes hold what matters: half of the changes fall there
    length = len(data) if rng.random() < 0.5 else min(len(data), 256)
    at = rng.randrange(length + 1)
    kind = rng.randrange(9)
    if kind == 0 and at < len(data):
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 1 and at < len(data):
        data[at] = rng.randrange(256)
    elif kind == 2:
        del data[at : at + rng.randrange(1, 32)]
    elif kind == 3:
        data[at:at] = data[at : at + rng.randrange(1, 64)]
    elif kind == 4:
        data[at:at] = rng.choice(_WORDS)
    elif kind == 5:
        form = rng.choice(("<H", ">H", "<I", ">I"))
        number = rng.choice(_NUMBERS) & (0xFFFF if form[1] == "H" else 0xFFFFFFFF)
        data[at : at + struct.calcsize(form)] = struct.pack(form, number)
    elif kind == 6 and rng.random() < 0.3:
        del data[at:]
    elif kind == 7:
        other = rng.choice(seeds)
        start = rng.randrange(len(other) + 1)
        data[at : at + 32] = other[start : start + 32]
    elif kind == 8:
        data[at : at + 8] = rng.randbytes(rng.randrange(9))


def repair(data: bytes) -> bytes:
    """PNG checksums and the header length of safetensors made right, so that changes get past the first check."""
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return _repair_png(data)
    end = data.rfind(b"}}")
    if data[8:10] == b'{"' and end > 0:
        return struct.pack("<Q", end - 6) + data[8:]
    return data


def _repair_png(data: bytes) -> bytes:
    fixed, at = data[:8], 8
    while at + 12 <= len(data):
        size = min(int.from_bytes(data[at : at + 4], "big"), len(data) - at - 12)
        body = data[at + 4 : at + 8 + size]
        fixed += struct.pack(">I", size) + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + size
    return fixed
