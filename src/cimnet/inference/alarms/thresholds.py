"""The alarms by name, and the score from which one is raised."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ALARMS = ("rgb_broken", "thermal_broken", "misaligned")


def threshold_for(scores: Sequence[float], share: float) -> float:
    """The smallest of the scores of sound cases that no more than this share of them exceed.

    Raises:
        ValueError: no scores.
    """
    if not len(scores):
        raise ValueError("no scores of sound cases to choose a threshold by")
    falling = np.sort(np.asarray(scores, np.float64))[::-1]
    return float(falling[int(share * len(falling))])
