"""Masks as Label Studio stores brush labels: run lengths packed into bits.

Format (thi.ng/rle-pack): 32 bits: number of values; 5 bits: width of a value − 1; four times 4 bits: widths of run
lengths − 1. Then runs: 1 bit (1: a value that repeats, 0: values that follow each other), 2 bits: which of the four
widths, the length − 1 in that width, and one value or `length` values. The values are the bytes of an RGBA image, of
which alpha says what is painted.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cimnet.errors import DataError

_WIDTHS = (3, 4, 8, 16)
_LONGEST = 1 << _WIDTHS[-1]


def encode_mask(mask: npt.NDArray[np.bool_]) -> list[int]:
    """A mask (H, W) as bytes 0..255."""
    values = np.repeat(mask.astype(np.uint8).ravel() * 255, 4)
    edges = np.flatnonzero(np.diff(values)) + 1
    starts = np.concatenate([[0], edges])
    lengths = np.diff(np.concatenate([starts, [len(values)]]))
    bits = [f"{len(values):032b}", f"{8 - 1:05b}", *(f"{width - 1:04b}" for width in _WIDTHS)]
    for value, length in zip(values[starts].tolist(), lengths.tolist(), strict=True):
        while length:
            part = min(length, _LONGEST)
            which = next(k for k, width in enumerate(_WIDTHS) if part <= 1 << width)
            bits.append(f"1{which:02b}{part - 1:0{_WIDTHS[which]}b}{value:08b}")
            length -= part
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big")) if text else []


def decode_mask(packed: list[int], height: int, width: int) -> npt.NDArray[np.bool_]:
    """Decode what :func:`encode_mask` has encoded.

    Raises:
        DataError: the bytes are not such a mask, or one of another size.
    """
    try:
        values = _unpack(bytes(packed))
    except (ValueError, IndexError, TypeError) as error:
        raise DataError(f"a brush label cannot be unpacked ({error})") from error
    if len(values) != 4 * height * width:
        raise DataError(f"a brush label of length {len(values)}, where {width}x{height} pixels need four values each")
    return values.reshape(height, width, 4)[..., 3] > 127


def _unpack(packed: bytes) -> npt.NDArray[np.uint8]:
    bits = np.unpackbits(np.frombuffer(packed, np.uint8))
    text = (bits + ord("0")).tobytes().decode("ascii")
    place = 0

    def take(count: int) -> int:
        nonlocal place
        if place + count > len(text):
            raise ValueError("it ends early")
        place += count
        return int(text[place - count : place], 2)

    total, size = take(32), take(5) + 1
    if size != 8 or total > 4 * 100_000_000:
        raise ValueError(f"{total} values of {size} bits")
    widths = [take(4) + 1 for _ in range(4)]
    found = np.empty(total, np.uint8)
    done = 0
    while done < total:
        repeats, which = take(1), take(2)
        length = take(widths[which]) + 1
        if done + length > total:
            raise ValueError("a run leads beyond the end")
        if repeats:
            found[done : done + length] = take(8)
        else:
            run = text[place : place + 8 * length]
            if len(run) < 8 * length:
                raise ValueError("it ends early")
            found[done : done + length] = np.frombuffer(int(run, 2).to_bytes(length, "big"), np.uint8)
            place += 8 * length
        done += length
    return found
