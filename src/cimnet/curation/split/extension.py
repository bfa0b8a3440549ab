"""Lists that a division extends: the pairs that they hold stay in their part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from cimnet.data.dataset import RGBTDataset
from cimnet.data.io.patterns import split_names
from cimnet.data.io.split_lists import find_list, name_some
from cimnet.errors import DataError
from cimnet.utils.numbers import pluralize

Unit = tuple[str, str]
"""What is placed as a whole: (part, "") for all pairs that have this part already, ("", group) for any other group."""


def read_parts(dataset: RGBTDataset, folder: Path, parts: Sequence[str]) -> dict[str, str]:
    """The part of each name that the lists of a folder hold. A part without a list holds none.

    Raises:
        DataError: a list that cannot be used, or a name in two of them.
    """
    index = dataset.index(dataset.root)
    part_of: dict[str, str] = {}
    for part in parts:
        if find_list(folder, part, dataset.lists) is None:
            continue
        for name in split_names(folder, part, index, dataset.lists):
            if part_of.setdefault(name, part) != part:
                raise DataError(f"{folder}: {name} is in the lists {part_of[name]} and {part}; remove it from one")
    return part_of


def require_known(part_of: Mapping[str, str], known: Collection[str], folder: Path, of: str) -> None:
    """Refuse lists with names that are not among the pairs to divide: these would be lost.

    Raises:
        DataError: naming some.
    """
    if gone := [name for name in part_of if name not in known]:
        raise DataError(
            f"{folder}: its list {part_of[gone[0]]} holds {name_some(gone)}, which split {of!r} does not; remove the "
            "name from the list, or divide a split that has it"
        )


def form_units(names: Sequence[str], group_of: Mapping[str, str], part_of: Mapping[str, str]) -> dict[str, Unit]:
    """The unit of each name. A name that is in no list joins the part in which its group has most names."""
    places: dict[str, Counter[str]] = {}
    for name in names:
        if name in part_of:
            places.setdefault(group_of[name], Counter())[part_of[name]] += 1
    home = {group: counts.most_common(1)[0][0] for group, counts in places.items()}
    units: dict[str, Unit] = {}
    for name in names:
        part = part_of.get(name) or home.get(group_of[name])
        units[name] = ("", group_of[name]) if part is None else (part, "")
    return units


def note_extension(names: Sequence[str], group_of: Mapping[str, str], part_of: Mapping[str, str]) -> list[str]:
    """Notes on what stayed, and on groups that the lists have torn apart."""
    stayed = [name for name in names if name in part_of]
    added = len(names) - len(stayed)
    were = f"{pluralize(added, 'pair')} {'was' if added == 1 else 'were'} added"
    notes = [f"{pluralize(len(stayed), 'pair')} stayed in the part that they were in, and {were}"]
    found: dict[str, set[str]] = {}
    for name in stayed:
        found.setdefault(group_of[name], set()).add(part_of[name])
    if torn := sorted(group for group, parts in found.items() if len(parts) > 1):
        notes.append(
            f"the lists have {pluralize(len(torn), 'group')} ({name_some(torn)}) in several parts: give --groups as "
            "they were made with, or divide again with --overwrite"
        )
    return notes
