"""Ids in COCO files: each stands for one thing."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import TypeVar

from cimnet.errors import DataError

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def by_id(
    path: Path, what: str, entries: Iterable[tuple[K, V]], remedy: str = "give each an id of its own"
) -> dict[K, V]:
    """Entries by id. Files that were put together often use an id twice: what has it would go to the wrong image or
    class.

    Args:
        path, what, remedy: of the message: the file, what an id is of, what to do.
        entries: ids, or other keys, and what they stand for.

    Raises:
        DataError: an id stands for two different things; it names both.
    """
    found: dict[K, V] = {}
    for key, value in entries:
        if found.setdefault(key, value) != value:
            raise DataError(f"{path}: {what} {key!r} stands for {found[key]!r} and {value!r}; {remedy}")
    return found
