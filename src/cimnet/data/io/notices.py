"""What a user must know of files that are read all the same: a warning for each, given once."""

from __future__ import annotations

import warnings
from typing import Any

from cimnet.errors import DataWarning

_MOST = 1000  # messages remembered; a server that runs for months forgets the older ones
_given: dict[Any, Any] = {}


def notice(text: str) -> None:
    """Give a `DataWarning`, unless this very text was given already."""
    if len(_given) > _MOST:
        _given.clear()
    warnings.warn_explicit(text, DataWarning, __file__, 0, module="cimnet.data", registry=_given)
