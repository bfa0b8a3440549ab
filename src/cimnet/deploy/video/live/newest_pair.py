"""The newest frames of two streams that were taken at one moment."""

from __future__ import annotations

from collections.abc import Sequence

from cimnet.deploy.video.frames import Frame


def newest_pair(
    rgb: Sequence[Frame], thermal: Sequence[Frame], offset: float, tolerance: float, after: float
) -> tuple[Frame, Frame] | None:
    """The newest RGB frame that has a partner, and the thermal frame nearest to it.

    Args:
        rgb, thermal: oldest first.
        offset: thermal time − RGB time of the same moment, seconds.
        tolerance: largest distance in time, seconds.
        after: RGB frames up to this time were predicted already.
    """
    for frame in reversed(rgb):
        if frame.time <= after:
            return None
        nearest = min(thermal, key=lambda other: abs(other.time - offset - frame.time), default=None)
        if nearest is not None and abs(nearest.time - offset - frame.time) <= tolerance:
            return frame, nearest
    return None


def least_gap(rgb: Sequence[Frame], thermal: Sequence[Frame], offset: float) -> float | None:
    """The smallest time between an RGB and a thermal frame, thermal − RGB − offset in seconds; None without frames."""
    gaps = [other.time - offset - frame.time for frame in rgb for other in thermal]
    return min(gaps, key=abs, default=None)
