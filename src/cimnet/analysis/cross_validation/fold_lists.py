"""The lists of all folds, as ``cimnet data split --folds`` writes them or as somebody wrote them by hand."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from cimnet.curation.split.division import RECORD
from cimnet.curation.split.folds import FOLDER, PARTS
from cimnet.data import find_layout
from cimnet.data.io.patterns import split_names
from cimnet.data.io.split_lists import name_some
from cimnet.errors import DataError
from cimnet.utils.files import resolved


@dataclass(frozen=True)
class FoldLists:
    """Folds of a data set.

    Attributes:
        root: the data set.
        folder: the folder that holds 0/train.txt, 0/val.txt, 0/test.txt, 1/train.txt …
        names: ids of each part, by fold.
        groups: group of each tested id; its own id where nothing says which.
    """

    root: Path
    folder: Path
    names: tuple[dict[str, list[str]], ...]
    groups: dict[str, str] = field(repr=False)

    def split(self, fold: int, part: str) -> str:
        """The name under which a data set opens a part of a fold: "folds/0/train", or a whole path outside of it."""
        return _split(self.root, self.folder, fold, part)

    @property
    def digest(self) -> str:
        """Digest of all lists and groups; two runs that can be compared pair by pair have the same one."""
        text = json.dumps([self.names, sorted(self.groups.items())])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_fold_lists(root: Path, folder: Path | None = None, layout: str = "auto") -> FoldLists:
    """Read and check the lists.

    Args:
        root: the data set.
        folder: of the folds; None: ``folds`` in the data set.

    Raises:
        DataError: no folds, a part without a list, a pair in two parts of a fold or tested in two, a pair that is
            never tested, or a group that is divided between the test part of a fold and its others.
    """
    folder = root / FOLDER if folder is None else folder
    kind = find_layout(root, layout)
    count = 0
    while (folder / str(count)).is_dir() and any((folder / str(count)).glob("*.txt")):
        count += 1
    if count < 2:
        raise DataError(
            f"{folder}: no folds (0/train.txt, 0/val.txt, 0/test.txt, 1/train.txt …); "
            f"`cimnet data split {root} --folds 5` writes them"
        )
    index = kind.index(root)
    names = tuple(
        {part: split_names(root, _split(root, folder, fold, part), index, kind.lists) for part in PARTS}
        for fold in range(count)
    )
    _check_pairs(folder, names)
    found = _read_groups(folder / RECORD)
    groups = {name: found.get(name, name) for parts in names for name in parts["test"]}
    _check_groups(folder, names, groups)
    return FoldLists(root, folder, names, groups)


def _split(root: Path, folder: Path, fold: int, part: str) -> str:
    place = resolved(folder)
    inside = place.is_relative_to(resolved(root))
    place = place.relative_to(resolved(root)) if inside else place
    return (place / str(fold) / part).as_posix()


def _check_pairs(folder: Path, names: tuple[dict[str, list[str]], ...]) -> None:
    for fold, parts in enumerate(names):
        uses = Counter(name for part in PARTS for name in parts[part])
        if twice := [name for name, count in uses.items() if count > 1]:
            raise DataError(f"{folder / str(fold)}: {name_some(twice)} in two parts; keep each pair in one")
    tested = Counter(name for parts in names for name in parts["test"])
    if twice := [name for name, count in tested.items() if count > 1]:
        raise DataError(f"{folder}: {name_some(twice)} in the test part of two folds; test each pair once")
    used = dict.fromkeys(name for parts in names for part in PARTS for name in parts[part])
    if never := [name for name in used if name not in tested]:
        raise DataError(f"{folder}: {name_some(never)} in the test part of no fold; test each pair once")


def _check_groups(folder: Path, names: tuple[dict[str, list[str]], ...], groups: dict[str, str]) -> None:
    for fold, parts in enumerate(names):
        tested = {groups[name] for name in parts["test"]}
        if leaks := [name for part in PARTS[:2] for name in parts[part] if groups[name] in tested]:
            raise DataError(
                f"{folder / str(fold)}: {leaks[0]} of group {groups[leaks[0]]} is in train or val, and others of this "
                "group are tested; put a whole group into one part"
            )


def _read_groups(path: Path) -> dict[str, str]:
    """Group by id; empty without a record."""
    if not path.is_file():
        return {}
    try:
        members = json.loads(path.read_text(encoding="utf-8"))["members"]
        return {name: group for group, names in members.items() for name in names}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: cannot be read; restore it, or remove it: then each pair is a group") from error
