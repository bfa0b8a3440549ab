"""Patterns of file names, as ``files:`` in classes.yaml and `cimnet predict` take them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from cimnet.data.io.name_times import TIME, time_in
from cimnet.data.io.nearest_times import pair_nearest, usual_limit
from cimnet.data.io.split_lists import THERMAL_EXTENSIONS
from cimnet.errors import DataError
from cimnet.utils.numbers import pluralize

_PLACEHOLDERS = {"name": "(?P<name>.+)", "frame": "(?P<frame>.+)", "time": f"(?P<time>{TIME})", "*": "[^/]*?"}
_ANY = re.compile(r"\{(name|frame|time|\*)\}")


class FileName(NamedTuple):
    """The meaning of a file name: the split of its folder ("" without one), the pair's name, that without its time, and
    the time in seconds since 1970."""

    split: str
    name: str
    group: str
    time: float | None


@dataclass(frozen=True)
class NamePattern:
    """A path below a folder without extension: ``{name}`` is the pair's; ``{*}`` is any text without "/", the shortest
    that fits; ``{time}`` is a time (see `cimnet.data.io.name_times`), by which the nearest file is the partner.
    ``{frame}`` is a second part of the name. ``{split}`` stands for a split's folder.
    """

    text: str

    def __post_init__(self) -> None:
        found = _ANY.findall(self.text)
        if not {"name", "time"} & set(found) or any(found.count(part) > 1 for part in ("name", "time", "frame")):
            raise DataError(f"pattern {self.text!r}: expected {{name}} or {{time}} in it, each once")
        extension = posixpath.splitext(self.text)[1]
        if extension.lower() in THERMAL_EXTENSIONS:
            raise DataError(f"pattern {self.text!r}: patterns have no extension; leave out {extension}")

    @property
    def folder(self) -> str:
        """The folders before the first part that differs from file to file; may hold ``{split}``."""
        match = _ANY.search(self.text)
        return self.text[: match.start() if match else None].rpartition("/")[0]

    @property
    def literal(self) -> int:
        """Number of literal characters: if two patterns fit a file, the one with more of them counts."""
        return len(_ANY.sub("", self.text))

    @property
    def timed(self) -> bool:
        """Whether names hold a time."""
        return "{time}" in self.text

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        rest = self.text[len(self.folder) :].lstrip("/")
        parts = _ANY.split(rest)  # text and placeholder in turn
        return re.compile(
            "".join(_PLACEHOLDERS[part] if place % 2 else re.escape(part) for place, part in enumerate(parts)), re.ASCII
        )

    def read(self, path: str, split: str = "") -> FileName | None:
        """Parse a path below `folder`, without its extension; None if it does not fit."""
        match = self._regex.fullmatch(path)
        if match is None:
            return None
        parts = match.groupdict()
        time = time_in(parts["time"]) if parts.get("time") else None
        if self.timed and time is None:  # a month 13
            return None
        others = [value for key, value in parts.items() if key != "time"]
        return FileName(split, "_".join(parts.values()), "_".join(others), None if time is None else time.seconds)


def find_partners(
    reference: Iterable[FileName], others: Iterable[FileName], max_gap: float | None
) -> Mapping[FileName, FileName]:
    """Find the partners of one sensor's names among the RGB files, each at most once: the equal name, or, if names hold
    times, the nearest time among names that are otherwise equal.

    Args:
        max_gap: seconds by which partners may be apart; None: see `usual_limit`.

    Raises:
        DataError: a name without a time fits several RGB files that have one.
    """
    named = {(name.split, name.name): name for name in reference}
    found = {name: named[name.split, name.name] for name in others if (name.split, name.name) in named}
    taken = set(found.values())
    groups = _groups(name for name in named.values() if name not in taken)
    for key, some in _groups(name for name in others if name not in found).items():
        there = groups.get(key, [])
        times = [name.time for name in there if name.time is not None], [n.time for n in some if n.time is not None]
        if len(times[0]) == len(there) and len(times[1]) == len(some):
            limit = usual_limit(*times) if max_gap is None else max_gap
            found.update({some[j]: there[i] for i, j in pair_nearest(*times, limit)})
        elif len(there) == 1 == len(some):
            found[some[0]] = there[0]
        elif there:
            raise DataError(
                f"{some[0].name!r} without a time fits {pluralize(len(there), 'file')} that differ in their time "
                f"alone, such as {there[0].name!r}; write {{time}} into its pattern, too, or give the pairs in a list "
                "(pairs.csv)"
            )
    return found


def _groups(names: Iterable[FileName]) -> dict[tuple[str, str], list[FileName]]:
    """Names that differ in their time alone, by split and the rest."""
    groups: dict[tuple[str, str], list[FileName]] = {}
    for name in sorted(names, key=lambda name: (name.time or 0.0, name.name)):
        groups.setdefault((name.split, name.group), []).append(name)
    return groups
