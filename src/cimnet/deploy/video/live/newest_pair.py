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


def why_no_pair(rgb: Sequence[Frame], thermal: Sequence[Frame], offset: float, tolerance: float) -> str:
    """Say why the frames that are held give no pair; "": they give one, or one stream has none.

    An offset is named only if both streams hold frames of a common time: else the nearest two are the ends of what is
    held, and their distance is not that of the clocks.

    Args:
        rgb, thermal, offset, tolerance: as in `newest_pair`.
    """
    gap = least_gap(rgb, thermal, offset)
    if gap is None or abs(gap) <= tolerance:
        return ""
    if rgb[0].time <= thermal[-1].time - offset and thermal[0].time - offset <= rgb[-1].time:
        return (
            f"no thermal frame within {tolerance:g} s of an RGB frame, the nearest is {gap:+.3f} s off; give --offset "
            f"{gap + offset:.3f} or a larger --tolerance"
        )
    return (
        f"no pair at --offset {offset:g}: the newest frames are {thermal[-1].time - rgb[-1].time:+.2f} s apart by "
        "their times (thermal − RGB); measure the offset by something that both cameras see, or set their clocks"
    )


def least_gap(rgb: Sequence[Frame], thermal: Sequence[Frame], offset: float) -> float | None:
    """The smallest time between an RGB and a thermal frame, thermal − RGB − offset in seconds; None without frames."""
    gaps = [other.time - offset - frame.time for frame in rgb for other in thermal]
    return min(gaps, key=abs, default=None)
