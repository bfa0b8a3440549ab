"""Bounds of time and memory for what an attack may cost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SLOW_MACHINE = 8
"""By how much a busy machine with few cores may be slower than an idle one."""


@contextmanager
def bounded(seconds: float, megabytes: float = 300) -> Iterator[None]:
    """Fail where the body takes longer, on a machine at rest, or where this process grows by more at its peak."""
    _reset_peak()
    before, began = _status("VmRSS"), time.monotonic()
    yield
    took, grown = time.monotonic() - began, (_status("VmHWM") - before) / 1000
    assert took < seconds * SLOW_MACHINE, f"{took:.1f} s"
    assert grown < megabytes, f"{grown:.0f} MB"


def _reset_peak() -> None:
    """Begin the peak of resident memory anew (Linux)."""
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")


def _status(field: str) -> int:
    """Kilobytes, of this process; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(f"{field}:"))
