"""A data set divided into parts: what each part got, and its lists."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cimnet.data.contents import SCENE_LISTS
from cimnet.data.flags import FLAG_LISTS
from cimnet.data.io.split_lists import ALL, LIST_PLACES, find_list, list_text
from cimnet.errors import DataError
from cimnet.utils.file_sets import write_together
from cimnet.utils.files import require_writable
from cimnet.utils.tables import markdown_table
from cimnet.version import __version__

RECORD = "split.json"


class Deviation(NamedTuple):
    """The deviation of a part's share from the wanted one, both 0..1."""

    what: str
    part: str
    got: float
    wanted: float

    @property
    def size(self) -> float:
        return abs(self.got - self.wanted)


@dataclass(frozen=True)
class Division:
    """The outcome of `split_dataset`.

    Attributes:
        out: the folder that `write` writes the lists in.
        parts: share wanted, by part.
        names: sorted ids, by part.
        groups: group of each id.
        counts: by what is counted ("pairs", "scene night", "pixels of car" …) and part.
        about: what makes the same division again: of, seed, groups, layout, labelled; and whether lists were extended.
        notes: what one should know.
        overwrite: whether `write` may replace lists.
        lists: where lists of the layout lie.
    """

    out: Path
    parts: dict[str, float]
    names: dict[str, list[str]]
    groups: dict[str, str]
    counts: dict[str, dict[str, int]]
    about: dict[str, Any]
    notes: tuple[str, ...] = ()
    overwrite: bool = False
    lists: tuple[str, ...] = LIST_PLACES

    def deviations(self) -> list[Deviation]:
        """Deviations of everything that is counted except groups, the largest first."""
        found = [
            Deviation(what, part, count / sum(counts.values()), self.parts[part])
            for what, counts in self.counts.items()
            for part, count in counts.items()
            if what != "groups"
        ]
        return sorted(found, key=lambda deviation: -deviation.size)

    def to_markdown(self) -> str:
        """A table of all that is counted, by part, and the largest deviation."""
        rows = [["wanted", "", *(f"{100 * share:.1f} %" for share in self.parts.values())]]
        for what, counts in self.counts.items():
            total = sum(counts.values())
            rows.append([what, f"{total:,}", *(f"{n:,} ({100 * n / total:.1f} %)" for n in counts.values())])
        worst = self.deviations()[0]
        table = markdown_table(["", "all", *self.parts], rows).rstrip()
        said = (
            f"Largest deviation: {100 * worst.size:.1f} points ({worst.part} holds {100 * worst.got:.1f} % of "
            f"{worst.what}, {100 * worst.wanted:.1f} % wanted)."
        )
        return "\n\n".join([table, said, *(f"Note: {note}." for note in self.notes)]) + "\n"

    def write(self) -> list[Path]:
        """Write NAME.txt for each part, one name a line, and split.json, all of them or none; their paths.

        Raises:
            DataError: a list that is there already, unless it may be replaced, or a folder that cannot be written.
            CimnetError: a folder that cannot be written.
        """
        if not self.overwrite:
            refuse_to_replace(self.out, list(self.parts), self.lists)
        require_writable(self.out)
        texts: dict[Path, str | None] = {self.out / f"{part}.txt": list_text(ids) for part, ids in self.names.items()}
        members = {group: names for group, names in members_of(self.groups).items() if len(names) > 1}
        content = {**self.about, "parts": self.parts, "counts": self.counts, "notes": self.notes}
        texts[self.out / RECORD] = record_text(content, members)
        write_together(texts)
        return list(texts)


def members_of(groups: Mapping[str, str]) -> dict[str, list[str]]:
    """Ids by group, from the group of each id."""
    members: dict[str, list[str]] = {}
    for name, group in groups.items():
        members.setdefault(group, []).append(name)
    return members


def record_text(content: Mapping[str, Any], members: Mapping[str, Sequence[str]]) -> str:
    """The text of split.json: what a division was made with and holds, and its groups."""
    return json.dumps({"cimnet": __version__, **content, "members": members}, indent=1, ensure_ascii=False) + "\n"


def refuse_to_replace(folder: Path, parts: Sequence[str], places: Sequence[str]) -> None:
    """Refuse where a list of one of these names, or a record, is in a folder.

    Raises:
        DataError: naming it.
    """
    found = [path for part in parts if (path := find_list(folder, part, places)) is not None]
    found += [path for path in (folder / RECORD,) if path.is_file()]
    if found:
        raise DataError(f"{found[0]}: exists; --overwrite replaces it, --out takes another folder")


def check_shares(parts: Mapping[str, float]) -> None:
    """Refuse names that cannot be a list's, and shares that are not positive or whose sum is not 1.

    Raises:
        DataError: naming part and share.
    """
    reserved = (ALL, *SCENE_LISTS, *FLAG_LISTS.values())
    for name, share in parts.items():
        if not name.strip() or name in reserved or name.startswith(".") or any(sign in name for sign in "/\\:"):
            raise DataError(f"parts: {name!r} cannot be the name of a list; give one such as train, val or test")
        if not 0 < share <= 1:
            raise DataError(f"parts: {name} {share:g} is not a share; give numbers above 0 whose sum is 1")
    total = sum(parts.values())
    if abs(total - 1) > 1e-6:
        shares = ", ".join(f"{name} {share:g}" for name, share in parts.items()) or "none"
        raise DataError(f"parts: the sum of {shares} is {total:g}; it must be 1")
