"""The time of a frame, from its time stamp and its arrival."""

from __future__ import annotations

JUMP = 2.0
"""Seconds that the time stamps may be off before they are taken for a new beginning."""
DRIFT = 1e-3
"""Seconds a second that two clocks may run apart."""


class StreamClock:
    """Time stamps of a stream on the clock of this machine.

    Frames arrive late by the delay of the way, which changes from one to the next, and their time stamps count from
    anywhere. The least delay seen so far stands for none: time = stamp + the smallest (arrival − stamp). The minimum
    forgets slowly (`DRIFT`) and restarts when stamps jump.

    Attributes:
        jumps: how often the clock restarted.
    """

    def __init__(self) -> None:
        self.jumps = 0
        self._shift: float | None = None
        self._last = (0.0, 0.0)

    def __call__(self, stamp: float | None, arrival: float) -> float:
        """Time of a frame on the clock of `arrival`, seconds.

        Args:
            stamp: the frame's own time, seconds from anywhere. None: it has none.
            arrival: when it came.
        """
        if stamp is None:
            return arrival
        last_stamp, last_arrival = self._last
        self._last = stamp, arrival
        seen = arrival - stamp
        if self._shift is None:
            self._shift = seen
        elif stamp < last_stamp - 0.001 or abs(seen - self._shift) > JUMP:
            self._shift, self.jumps = seen, self.jumps + 1
        else:
            self._shift = min(self._shift + DRIFT * (arrival - last_arrival), seen)
        return stamp + self._shift
