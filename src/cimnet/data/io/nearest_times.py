"""Partners in time: what two clocks recorded at nearly the same moment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SHUTTERS = 2.0
"""Seconds by which the times in the names of one shot may differ: drones name a file when its sensor is done."""
_ROUNDING = 2e-6  # seconds: times in names are exact to a microsecond


def pair_nearest(one: Sequence[float], other: Sequence[float], max_gap: float) -> list[tuple[int, int]]:
    """Index pairs of times, each the other's nearest and at most `max_gap` seconds away; every index once at most.

    Of equally near times the earlier one is taken, of equal times the first. In the order of `one`.
    """
    if not one or not other:
        return []
    forth, back = _nearest(one, other), _nearest(other, one)
    return [(i, j) for i, j in enumerate(forth) if back[j] == i and abs(one[i] - other[j]) <= max_gap + _ROUNDING]


def _nearest(times: Sequence[float], among: Sequence[float]) -> list[int]:
    """The index of the nearest of `among` for each time."""
    order = np.argsort(np.array(among), kind="stable")
    there, wanted = np.array(among)[order], np.array(times)
    after = np.searchsorted(there, wanted, side="left").clip(0, len(there) - 1)
    before = np.searchsorted(there, there[(after - 1).clip(0)], side="left")
    earlier = np.abs(there[before] - wanted) <= np.abs(there[after] - wanted)
    return [int(place) for place in order[np.where(earlier, before, after)]]


def usual_limit(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the default limit of the gap between partners in seconds: the median step of the faster clock; `SHUTTERS`
    if neither has two times."""
    steps = [np.diff(np.unique(np.array(times))) for times in (one, other)]
    return min((float(np.median(step)) for step in steps if len(step)), default=SHUTTERS)
