"""Bounds of time and memory for what an attack may cost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STEPS = 300_000
_QUIET = 0.02
"""Seconds that so many steps of a loop take on a quiet core of 2 to 3 GHz."""
_MOST = 8.0


def slowness() -> float:
    """How many times slower this machine is now than a quiet one, 1 to 8: the median of five short loops."""
    took = []
    for _ in range(5):
        began, total = time.perf_counter(), 0
        for step in range(_STEPS):
            total += step
        took.append(time.perf_counter() - began)
        time.sleep(0.01)
    return min(max(sorted(took)[2] / _QUIET, 1.0), _MOST)


class Clock:
    """Bounds of time in seconds of a quiet machine: what is measured counts by how slow this one is just then."""

    def __init__(self) -> None:
        self.before = slowness()

    def require(self, took: float, seconds: float, what: str = "it") -> None:
        """Fail where something took longer than `seconds` on a quiet machine."""
        if took > seconds:  # a quiet machine needs no second look
            slow = max(self.before, slowness())
            assert took < seconds * slow, (
                f"{what} took {took:.2f} s, {seconds:g} s are allowed ({slow:.1f} times slower)"
            )


@contextmanager
def bounded(seconds: float, megabytes: float = 300) -> Iterator[None]:
    """Fail where the body takes more of the processor than twice what it may, which no other program changes, or where
    it waits for eight times as long, or where this process grows by more at its peak."""
    _reset_peak()
    before, began, worked = _status("VmRSS"), time.monotonic(), time.process_time()
    yield
    took, busy = time.monotonic() - began, time.process_time() - worked
    grown = (_status("VmHWM") - before) / 1000
    assert busy < 2 * seconds, f"{busy:.1f} s of the processor"
    assert took < _MOST * seconds, f"{took:.1f} s"
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
