"""Numbers as text, and for JSON."""

from __future__ import annotations

import math


def percent(value: float) -> str:
    """A score in 0..1 as per cent with one decimal, a dash for NaN."""
    return "–" if math.isnan(value) else f"{100 * value:.1f}"


def json_number(value: float) -> float | None:
    """A number for JSON, which has no NaN: None instead."""
    return None if math.isnan(value) else float(value)
