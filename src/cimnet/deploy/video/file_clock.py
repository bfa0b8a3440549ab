"""The times of a recording's frames, which only grow, whatever its time stamps do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

from cimnet.utils.numbers import pluralize

JUMP = 1.0
"""Seconds that time stamps must jump back to be taken for a new beginning. Where parts of a recording overlap, or
frames come in disorder, it is less."""
T = TypeVar("T")


def announced_interval(stream: Any) -> float:
    """Seconds between the frames of a video stream of PyAV, as its file announces them; 0.04 if it does not."""
    rate = stream.average_rate or stream.guessed_rate
    return float(1 / rate) if rate else 0.04


class FileClock(Generic[T]):
    """Seconds since the first frame. Where time stamps jump back and go on from there (two recordings in one file, a
    clock that was set), times go on one interval after the frame before. Any other frame that is not later than the one
    before is left out.

    Args:
        interval: mean time between frames, seconds.

    Attributes:
        first: time stamp of the first frame; None: it has none, and times count the frames.
        jumps: how often the time stamps began anew.
        left_out: number of frames left out.
    """

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.first: float | None = None
        self.jumps = self.left_out = 0
        self._jumped = 0.0

    def __call__(self, frames: Iterable[tuple[float | None, T]]) -> Iterator[tuple[float, T]]:
        """Times of frames that come with their time stamps; to be called once.

        Holds one frame: a new beginning is believed when a second one goes on from it.
        """
        last, shift = float("-inf"), 0.0
        doubtful: tuple[float, T] | None = None
        for stamp, frame in self._counted(frames):
            if stamp + shift > last:
                self.left_out += doubtful is not None
            elif doubtful is not None and stamp > doubtful[0]:
                self._jumped = self._jumped if self.jumps else last
                self.jumps += 1
                shift = last + self.interval - doubtful[0]
                yield doubtful[0] + shift, doubtful[1]
            elif last - (stamp + shift) > JUMP:
                self.left_out += doubtful is not None
                doubtful = stamp, frame
                continue
            else:
                self.left_out += 1
                continue
            doubtful, last = None, stamp + shift
            yield last, frame
        self.left_out += doubtful is not None

    def problems(self, path: Path) -> list[str]:
        """Say what was wrong with the time stamps so far."""
        found = []
        if self.jumps:
            found.append(
                f"{path}: the time stamps jump back {pluralize(self.jumps, 'time')}, first after {self._jumped:.2f} s; "
                "times go on from there without a gap"
            )
        if self.left_out:
            frames = f"{pluralize(self.left_out, 'frame')} left out"
            found.append(f"{path}: {frames}, with time stamps that are not later than those before")
        return found

    def _counted(self, frames: Iterable[tuple[float | None, T]]) -> Iterator[tuple[float, T]]:
        for index, (stamp, frame) in enumerate(frames):
            if index == 0:
                self.first = stamp
            yield (index * self.interval if stamp is None else stamp - (self.first or 0.0)), frame
