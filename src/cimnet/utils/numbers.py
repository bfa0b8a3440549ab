"""Numbers as text, and for JSON; positions evenly spread."""

from __future__ import annotations

import math

import numpy as np


def percent(value: float) -> str:
    """A score in 0..1 as per cent with one decimal, a dash for NaN."""
    return "–" if math.isnan(value) else f"{100 * value:.1f}"


def pluralize(count: int, what: str, many: str = "") -> str:
    """ "1 pair", "1,200 pairs"; `many`: a plural that is not made with s."""
    return f"{count:,} {what if count == 1 else many or what + 's'}"


def spread_evenly(length: int, count: int) -> list[int]:
    """Up to `count` different positions in a sequence of so many items, evenly spread from the first to the last."""
    return sorted(set(np.linspace(0, length - 1, min(count, length)).round().astype(int).tolist()))


def json_number(value: float) -> float | None:
    """A number for JSON, which has no NaN: None instead."""
    return None if math.isnan(value) else float(value)
