"""Wait for what another thread or process does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx


def wait_for(ready: Callable[[], Any], seconds: float = 90) -> Any:
    """What `ready` gives once that is true; HTTP that fails counts as not yet."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        try:
            found = ready()
        except httpx.HTTPError:
            found = None
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError("it did not happen")
