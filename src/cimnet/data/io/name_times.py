"""Times that file names hold: what cameras, loggers and robots write instead of a counter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

_DAY = r"(?<!\d)((?:19|20)\d\d)[-_.]?(\d\d)[-_.]?(\d\d)"
_DATE = re.compile(
    _DAY + r"[-_T .]{1,2}(\d\d)[-_.:h]?(\d\d)[-_.:m]?(\d\d)(?:[-_.,s](\d{3}|\d{6}|\d{9}))?(?!\d)", re.ASCII
)
_DATE_TOGETHER = re.compile(_DAY + r"(\d\d)(\d\d)(\d\d)(\d{3})?(?!\d)", re.ASCII)
_SECONDS = re.compile(r"(?<![\d.])(\d{9,10})[._](\d{1,9})(?![\d])", re.ASCII)
_TICKS = re.compile(r"(?<!\d)(\d{13}|\d{16}|\d{19})(?!\d)", re.ASCII)
_PER_SECOND = {13: 1e3, 16: 1e6, 19: 1e9}
_YEAR_2000, _YEAR_2100 = 946_684_800.0, 4_102_444_800.0


class NameTime(NamedTuple):
    """A time that a name holds: seconds since 1970, and the part of the name that says it, as indices."""

    seconds: float
    start: int
    end: int


def times_of(names: Sequence[str]) -> list[float] | None:
    """Seconds since 1970 that names hold; None unless every name holds one of the same form.

    Known forms: seconds with a fraction (``1625234567.100``), milli-, micro- or nanoseconds since 1970 (13, 16 or 19
    digits), and dates (``20240131_120000_250``, ``2024-01-31T12-00-00``), taken as UTC. Behind a date, three, six or
    nine digits are a fraction of the second; others are a counter.

    Times are exact to a microsecond: a float holds no more of a second in this century.
    """
    for read in _FORMS:
        found = [read(name) for name in names]
        times = [time.seconds for time in found if time is not None]
        if names and len(times) == len(names) and len(set(times)) > len(names) // 2:
            return times
    return None


def time_in(name: str) -> NameTime | None:
    """The time that one name holds, of the first of the forms of `times_of` that fits; None: it holds none."""
    return next((found for read in _FORMS if (found := read(name)) is not None), None)


def _plausible(time: float, match: re.Match[str]) -> NameTime | None:
    return NameTime(time, *match.span()) if _YEAR_2000 <= time <= _YEAR_2100 else None


def _seconds(name: str) -> NameTime | None:
    match = _SECONDS.search(name)
    return _plausible(float(f"{match[1]}.{match[2]}"), match) if match else None


def _ticks(name: str) -> NameTime | None:
    match = _TICKS.search(name)
    return _plausible(int(match[1]) / _PER_SECOND[len(match[1])], match) if match else None


def _date(name: str) -> NameTime | None:
    match = _DATE.search(name) or _DATE_TOGETHER.search(name)
    if not match:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    try:
        whole = datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError:  # a month 13: a number, not a date
        return None
    return NameTime(whole + (float(f"0.{match[7]}") if match[7] else 0.0), *match.span())


_FORMS = (_seconds, _ticks, _date)
TIME = "|".join(re.sub(r"\((?!\?)", "(?:", form.pattern) for form in (_DATE, _DATE_TOGETHER, _SECONDS, _TICKS))
"""A regular expression of all forms, to be compiled with `re.ASCII`."""
