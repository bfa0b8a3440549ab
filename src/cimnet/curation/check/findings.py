"""A finding of the checks: one thing that is wrong or worth knowing, with its remedy and everything it concerns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""error: the data cannot be used as it is, or scores would be wrong; warning: a likely mistake; note: worth knowing."""


@dataclass(frozen=True)
class Item:
    """A pair, file or class that a finding concerns.

    Attributes:
        name: its name.
        detail: in words, what is wrong with it.
        others: pairs that it is like, for duplicates.
    """

    name: str
    detail: str = ""
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """One kind of fault in a data set.

    Attributes:
        severity: "error", "warning" or "note".
        code: short name that does not change, e.g. "missing-partner".
        message: what is wrong, one line.
        remedy: what to do, one line; empty if nothing needs to be done.
        items: pairs, files or classes that it concerns; empty if it concerns the whole set.
    """

    severity: Severity
    code: str
    message: str
    remedy: str = ""
    items: tuple[Item, ...] = ()

    @property
    def count(self) -> int:
        """Number of pairs, files or classes concerned; 0: the whole set."""
        return len(self.items)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "severity": self.severity,
            "code": self.code,
            "message": self.message,
            "remedy": self.remedy,
            "count": self.count,
            "items": [{"name": item.name, "detail": item.detail, "others": list(item.others)} for item in self.items],
        }


def items_of(names: Iterable[str]) -> tuple[Item, ...]:
    """Items without details, sorted by name."""
    return tuple(Item(name) for name in sorted(names))
