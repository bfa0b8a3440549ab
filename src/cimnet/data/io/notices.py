"""Warnings about files that are read in spite of a doubt, each given once."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from cimnet.errors import DataWarning

_MOST = 1000  # messages remembered; a server that runs for months forgets the older ones
_given: dict[Any, Any] = {}
_kept: ContextVar[list[str] | None] = ContextVar("kept", default=None)


def notice(text: str) -> None:
    """Give a `DataWarning`, unless this very text was given already; inside `keep_notices` keep the text instead."""
    kept = _kept.get()
    if kept is not None:
        kept.append(text)
        return
    if len(_given) > _MOST:
        _given.clear()
    warnings.warn_explicit(text, DataWarning, __file__, 0, module="cimnet.data", registry=_given)


@contextmanager
def keep_notices() -> Iterator[list[str]]:
    """A list that gets the texts of all notices of this thread, for a report that shows them itself."""
    texts: list[str] = []
    token = _kept.set(texts)
    try:
        yield texts
    finally:
        _kept.reset(token)
