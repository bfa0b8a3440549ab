"""Several scores as one cell of a table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def spread(values: Sequence[float | None], sign: str = "") -> str:
    """:func:`mean_and_spread` of shares 0..1, in per cent."""
    return mean_and_spread([None if value is None else 100 * value for value in values], 1, sign)


def mean_and_spread(values: Sequence[float | None], digits: int, sign: str = "") -> str:
    """Mean ± sample standard deviation of the values that are known (not None or NaN); a dash for none."""
    known = [value for value in values if value is not None and not math.isnan(value)]
    if not known:
        return "–"
    deviation = f" ± {statistics.stdev(known):.{digits}f}" if len(known) > 1 else ""
    return f"{statistics.mean(known):{sign}.{digits}f}{deviation}"
