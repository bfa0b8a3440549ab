"""The order of file names that count."""

from __future__ import annotations

import re

_NUMBER = re.compile(
    "([0-9]+)"
)  # not \d: it takes digits of every script, and "①".isdigit() is true though int() fails


def by_number(name: str) -> list[tuple[int, str]]:
    """A key that sorts numbers by their value: frame 9 comes before frame 10. Digits are 0 to 9; others are letters."""
    return [(int(part), "") if place % 2 else (-1, part) for place, part in enumerate(_NUMBER.split(name))]
