"""Names of weights in the original's files, and those in this package: one table per network, read in both
directions."""

from __future__ import annotations

import re
from collections.abc import Sequence

Renames = Sequence[tuple[str, str]]
"""Beginnings of names: (in the original's files, here). ``*`` stands for a number; both sides have equally many. The
first row that fits counts, and a name that none fits is the same in both places."""


def to_ours(name: str, renames: Renames) -> str:
    """The name of a weight here, from its name in the original's files."""
    return _rename(name, [(official, ours) for official, ours in renames])


def to_official(name: str, renames: Renames) -> str:
    """Translate a name of this package into that of the original's files."""
    return _rename(name, [(ours, official) for official, ours in renames])


def _rename(name: str, renames: Renames) -> str:
    for old, new in renames:
        found = re.match(re.escape(old).replace(r"\*", r"(\d+)"), name)
        if found:
            return new.replace("*", "{}").format(*found.groups()) + name[found.end() :]
    return name
