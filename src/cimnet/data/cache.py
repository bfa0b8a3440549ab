"""Decoded pairs in one file that is mapped into memory: decoded once, shared by all processes and later runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cimnet.data.pairs import Arrays, Pair
from cimnet.utils.files import write_atomically, write_text
from cimnet.utils.pool import map_in_threads

_FORMAT = 3  # raised when the same files are decoded otherwise


class DiskCache:
    """The decoded arrays of a list of pairs, by position.

    The file is named by a hash of the paths, sizes and times of change of the pairs' files and of `settings`, so that a
    changed image, mask beside it or setting makes a new one. It is written whole or not at all.

    Args:
        folder: where the file lies; created if necessary. It takes (3 + bytes of a thermal value + 1) bytes a pixel.
        pairs: what to decode, by `decode`.
        settings: whatever else changes the arrays.

    Raises:
        DataError: a file that cannot be decoded.
        CimnetError: the cache cannot be written.
    """

    def __init__(
        self, folder: Path, pairs: Sequence[Pair], decode: Callable[[Pair], Arrays], settings: Sequence[Any]
    ) -> None:
        self.path = folder / f"{_fingerprint(pairs, settings)}.bin"
        index = self.path.with_suffix(".json")
        self.places = _read_places(index, self.path)
        if not self.places:
            self.places = _write(self.path, pairs, decode)
            write_text(index, json.dumps({"bytes": self.path.stat().st_size, "places": self.places}))
        self.values: npt.NDArray[np.uint8] | None = None

    def __getitem__(self, index: int) -> Arrays:
        """Arrays of a pair. Writing into them changes neither the file nor what other processes read."""
        if self.values is None:  # mapped by each process for itself
            self.values = np.memmap(self.path, np.uint8, "c")
        return Arrays(*(self._array(place) for place in self.places[index]))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "values": None}

    def _array(self, place: Sequence[Any] | None) -> Any:
        if place is None or self.values is None:
            return None
        start, dtype, shape, *mask = place
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        array = np.asarray(self.values[start : start + size]).view(dtype).reshape(shape)
        return np.ma.MaskedArray(array, self._array([mask[0], "bool", shape])) if mask else array


def _read_places(index: Path, values: Path) -> list[list[Any]]:
    """Read the positions of the arrays; [] if the cache does not exist or is damaged."""
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
        places: list[list[Any]] = content["places"]
        return places if content["bytes"] == values.stat().st_size else []
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _fingerprint(pairs: Sequence[Pair], settings: Sequence[Any]) -> str:
    digest = hashlib.sha256(
        repr([_FORMAT, settings, [(pair.id, pair.mirrored, pair.meaning) for pair in pairs]]).encode()
    )
    for path in dict.fromkeys(path for pair in pairs for path in pair.files):
        about = path.stat()
        digest.update(repr((str(path.absolute()), about.st_size, about.st_mtime_ns)).encode())
    return digest.hexdigest()[:24]


def _write(path: Path, pairs: Sequence[Pair], decode: Callable[[Pair], Arrays]) -> list[list[Any]]:
    """Write all arrays one after the other, each at a multiple of 8 bytes; [start, type, shape] of each by pair, and
    where its mask starts if it has one."""
    places: list[list[Any]] = []

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            for arrays in map_in_threads(decode, pairs):
                places.append([])
                for array in arrays:
                    if array is None:
                        places[-1].append(None)
                        continue
                    file.write(b"\0" * (-file.tell() % 8))
                    places[-1].append([file.tell(), array.dtype.name, list(array.shape)])
                    file.write(np.ascontiguousarray(array).tobytes())
                    if isinstance(array, np.ma.MaskedArray):
                        places[-1][-1].append(file.tell())
                        file.write(np.ascontiguousarray(np.ma.getmaskarray(array)).tobytes())

    write_atomically(path, write)
    return places
