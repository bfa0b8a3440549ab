"""The header of a safetensors file, checked against the file's length before anything is allocated."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cimnet.utils.numbers import pluralize

MOST_HEADER = 8_000_000
"""Bytes of JSON; 2,300 tensors of a large model take 300,000."""
_MOST_DIMENSIONS = 8
_TYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}


@dataclass(frozen=True)
class Header:
    """The header of a safetensors file.

    Attributes:
        metadata: texts by key.
        tensors: by name, on the device ``meta``: type and shape alone.
    """

    metadata: dict[str, str]
    tensors: dict[str, Tensor]

    @property
    def numbers(self) -> int:
        """Elements of all tensors."""
        return sum(tensor.numel() for tensor in self.tensors.values())


def read_header(path: Path) -> Header:
    """Read the header alone.

    Raises:
        ValueError: the header is longer than the file or than `MOST_HEADER`, is no JSON of the right form, or a shape
            does not fit the bytes that the file holds for it.
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise ValueError(f"its header would be {length:,} bytes long, the file has {size:,}")
        if length > MOST_HEADER:
            raise ValueError(f"its header is {length:,} bytes long, more than {MOST_HEADER:,}")
        text = file.read(length)
    try:
        content = json.loads(text)
    except RecursionError as error:
        raise ValueError("its header is nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError("its header is not a table of tensors")
    metadata = content.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata are not texts by key")
    available = size - 8 - length
    tensors = {name: _outline(name, entry, available) for name, entry in content.items()}
    places = sorted(tuple(entry["data_offsets"]) for entry in content.values())
    if [begin for begin, _ in places] + [available] != [0, *(end for _, end in places)]:
        raise ValueError("its tensors overlap, or leave a part of the file out")
    return Header(metadata, tensors)


def _outline(name: str, entry: Any, available: int) -> Tensor:
    """A tensor without its data.

    Raises:
        ValueError: the entry is not one of a tensor whose data the file holds.
    """
    where = f"tensor {name[:80]!r}"
    try:
        dtype, shape, (begin, end) = _TYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{where} has no known type, shape and place") from error
    if not isinstance(shape, list) or not all(type(number) is int for number in (*shape, begin, end)):
        raise ValueError(f"{where} has a shape or place that is not made of whole numbers")
    if len(shape) > _MOST_DIMENSIONS:
        raise ValueError(f"{where} has {pluralize(len(shape), 'dimension')}")
    if not 0 <= begin <= end <= available or min(shape, default=0) < 0:
        raise ValueError(f"{where} lies outside of the file")
    if prod(shape) * dtype.itemsize != end - begin or max(shape, default=0) > available:
        raise ValueError(f"{where} of shape {str(shape)[:80]} does not fit the {end - begin:,} bytes that it has")
    return torch.empty(shape, dtype=dtype, device="meta")
