"""Each RGB frame and the thermal frame nearest to it in time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cimnet.deploy.video.frames import Frame

_ROUNDING = 1e-6  # seconds


class Pair(NamedTuple):
    """An RGB frame with its thermal frame, None where none is near enough; `ended`: no thermal frame will come."""

    rgb: Frame
    thermal: Frame | None
    ended: bool


def pair_frames(rgb: Iterator[Frame], thermal: Iterator[Frame], offset: float, max_gap: float) -> Iterator[Pair]:
    """Pair by time, holding two thermal frames at most.

    Args:
        rgb, thermal: in order of time, each with seconds of its own clock.
        offset: thermal time − RGB time of the same moment, seconds.
        max_gap: largest distance in time of a pair, seconds.
    """
    before: Frame | None = None
    after = next(thermal, None)
    for frame in rgb:
        target = frame.time + offset
        while after is not None and after.time <= target:
            before, after = after, next(thermal, None)
        near = [found for found in (before, after) if found is not None]
        nearest = min(near, key=lambda found: abs(found.time - target), default=None)
        if nearest is not None and abs(nearest.time - target) > max_gap + _ROUNDING:
            nearest = None
        yield Pair(frame, nearest, after is None and nearest is None)


def chosen(frames: Iterator[Frame], every: int, start: float, end: float | None) -> Iterator[Frame]:
    """Every n-th frame from `start` on and before `end`, both in seconds."""
    number = -1
    for frame in frames:
        if end is not None and frame.time >= end - _ROUNDING:
            return
        if frame.time >= start - _ROUNDING:
            number += 1
            if number % every == 0:
                yield frame
