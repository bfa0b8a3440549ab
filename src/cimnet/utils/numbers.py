"""Numbers and names as text, and numbers for JSON; positions evenly spread."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt


def format_percent(value: float) -> str:
    """A score in 0..1 as per cent with one decimal, a dash for NaN."""
    return "–" if math.isnan(value) else f"{100 * value:.1f}"


def pluralize(count: int, what: str, many: str = "") -> str:
    """ "1 pair", "1,200 pairs"; `many`: a plural that is not made with s."""
    return f"{count:,} {what if count == 1 else many or what + 's'}"


def spread_evenly(length: int, count: int) -> list[int]:
    """Up to `count` different positions in a sequence, evenly spread from the first item to the last."""
    import numpy as np  # here: the command line needs the other functions before it knows what to do

    return sorted(set(np.linspace(0, length - 1, min(count, length)).round().astype(int).tolist()))


def format_number(value: float, form: str = ".2f") -> str:
    """A number by a format of Python's, with a true minus sign; a dash for NaN."""
    return "–" if math.isnan(value) else format(value, form).replace("-", "−")


def describe(name: str) -> str:
    """The name of a class, scene, flag or corruption as a person reads it: ``rgb_broken`` as ``RGB broken``."""
    return name.replace("_", " ").replace("rgb", "RGB")


def json_number(value: float) -> float | None:
    """A number for JSON, which has no NaN: None instead."""
    return None if math.isnan(value) else float(value)


def value_range(values: npt.NDArray[Any], low: float, high: float) -> tuple[float, float]:
    """Two percentiles of values of any shape and type. Numpy itself takes differences in the type of the values, where
    those of signed integers may overflow."""
    import numpy as np

    wide = values.astype(np.int64) if values.dtype.kind == "i" else values
    first, last = np.percentile(wide, (low, high))
    return float(first), float(last)
