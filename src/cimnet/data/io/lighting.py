"""Day, night or dark night, from the brightness of an RGB image."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

DARK_NIGHT, NIGHT = 25.0, 60.0
"""Mean luma (0..255) below which an image counts as a dark night, and as a night. On synthetic scenes the three classes
lie at 11..22, 33..67 and 93..134; of 210 MSRS pictures 95% of the nights lie below 50 and 95% of the days above 60
(docs/notebook/data-tools.md)."""


def mean_luma(rgb: npt.NDArray[Any]) -> float:
    """Mean of 0.299 R + 0.587 G + 0.114 B over every fourth pixel of (H, W, 3) uint8."""
    return float((rgb[::4, ::4] @ np.array([0.299, 0.587, 0.114])).mean())


def lighting(rgb: npt.NDArray[Any], known: str = "") -> str:
    """ "day", "night" or "dark_night" of an RGB image (H, W, 3) uint8.

    Args:
        known: "day" or "night" where a list or name says so: then brightness only tells dark nights from others.
    """
    if known == "day":
        return known
    luma = mean_luma(rgb)
    if luma < DARK_NIGHT:
        return "dark_night"
    return "night" if known == "night" or luma < NIGHT else "day"
