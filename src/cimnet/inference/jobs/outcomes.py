"""Outcomes of the pairs of a job, and the two tables that list them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cimnet.errors import DataError
from cimnet.inference.alarms.alarm import Alarm
from cimnet.inference.alarms.thresholds import ALARMS
from cimnet.utils.files import csv_text, write_text

AlarmRow = tuple[str, ...]
"""See `alarm_row`."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of one pair: why it has no mask (None: it has one), and its alarm if it was judged."""

    name: str
    error: str | None = None
    alarm: Alarm | None = None


@dataclass
class Predicted:
    """The outcomes of the pairs.

    Attributes:
        failed: by name, why a pair has no mask.
        alarms: by name, the alarms of a pair, if the checkpoint has some.
    """

    failed: dict[str, str] = field(default_factory=dict)
    alarms: dict[str, Alarm] = field(default_factory=dict)

    def add(self, outcome: Outcome, on_alarm: Callable[[str, Alarm], None] | None = None) -> None:
        """Keep an outcome, and call ``on_alarm`` with the name and the alarm if one is raised."""
        if outcome.error is not None:
            self.failed[outcome.name] = outcome.error
        elif outcome.alarm is not None:
            self.alarms[outcome.name] = outcome.alarm
            if on_alarm is not None and outcome.alarm.raised:
                on_alarm(outcome.name, outcome.alarm)

    def refuse_if_all_failed(self, count: int) -> None:
        """Refuse a job of ``count`` pairs of which none has a mask.

        Raises:
            DataError: with the first reason.
        """
        if count and len(self.failed) == count:
            first = next(iter(self.failed.values()))
            raise DataError(first if count == 1 else f"none of {count} pairs can be read; the first: {first}")


def write_tables(out: Path, failed: Mapping[str, str], alarms: Iterable[AlarmRow]) -> None:
    """``failed.csv`` and ``alarms.csv``, by name; one without rows is removed."""
    for file, header, rows in (
        ("failed.csv", ("name", "reason"), sorted(failed.items())),
        ("alarms.csv", ("name", *ALARMS, "raised"), sorted(alarms)),
    ):
        if rows:
            write_text(out / file, csv_text(header, rows))
        else:
            (out / file).unlink(missing_ok=True)


def alarm_row(name: str, alarm: Alarm) -> AlarmRow:
    """Return a row of ``alarms.csv``: name, the probability of each alarm, the raised ones separated by spaces."""
    return (name, *(f"{alarm.probabilities[kind]:.4f}" for kind in ALARMS), " ".join(alarm.raised))
