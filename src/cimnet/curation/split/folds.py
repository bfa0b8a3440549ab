"""Folds for cross-validation: every pair is tested once, groups stay whole, val comes out of the training part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cimnet.curation.split.amounts import Columns, count_by_group, place_groups
from cimnet.curation.split.division import RECORD, check_shares, members_of, record_text
from cimnet.curation.split.labelled import choose_pairs
from cimnet.data.contents import read_contents
from cimnet.data.io.split_lists import ALL, list_text, name_some
from cimnet.errors import DataError
from cimnet.utils.file_sets import write_together
from cimnet.utils.files import require_writable
from cimnet.utils.numbers import pluralize
from cimnet.utils.pool import Progress
from cimnet.utils.tables import markdown_table

FOLDER = "folds"
PARTS = ("train", "val", "test")
SHARES = {"train": 0.875, "val": 0.125}
"""Of the pairs of a fold that are not tested."""


@dataclass(frozen=True)
class Folds:
    """The outcome of `divide_into_folds`.

    Attributes:
        out: the folder that `write` writes 0/train.txt, 0/val.txt, 0/test.txt, 1/train.txt … and split.json in.
        names: sorted ids of each part, by fold.
        groups: group of each id.
        counts: by what is counted ("pairs", "pixels of car" …), how much the test part of each fold holds.
        about: what makes the same folds again: of, seed, groups, layout, parts, labelled.
        notes: what one should know.
        overwrite: whether `write` may replace folds.
    """

    out: Path
    names: tuple[dict[str, list[str]], ...]
    groups: dict[str, str]
    counts: dict[str, list[int]]
    about: dict[str, Any]
    notes: tuple[str, ...] = ()
    overwrite: bool = False

    def to_markdown(self) -> str:
        """A table of what the test part of each fold holds, and the sizes of its other parts."""
        head = ["", "all", *(f"fold {number}" for number in range(len(self.names)))]
        rows = [[f"test: {what}", f"{sum(counts):,}", *counts] for what, counts in self.counts.items()]
        for part in PARTS[:2]:
            rows.append([f"{part}: pairs", "", *(len(names[part]) for names in self.names)])
        return "\n\n".join([markdown_table(head, rows).rstrip(), *(f"Note: {note}." for note in self.notes)]) + "\n"

    def write(self) -> list[Path]:
        """Write all lists and split.json, or none of them; their paths.

        Raises:
            DataError: folds that are there already, unless they may be replaced.
            CimnetError: a folder that cannot be written.
        """
        if not self.overwrite:
            refuse_to_replace_folds(self.out)
        require_writable(self.out)
        texts: dict[Path, str | None] = {
            self.out / str(number) / f"{part}.txt": list_text(names[part])
            for number, names in enumerate(self.names)
            for part in PARTS
        }
        content = {"folds": len(self.names), **self.about, "counts": self.counts, "notes": self.notes}
        texts[self.out / RECORD] = record_text(content, members_of(self.groups))
        gone = [path for path in _files(self.out) if path not in texts]
        write_together({**texts, **dict.fromkeys(gone)})
        for folder in {path.parent for path in gone}:
            with suppress(OSError):  # something else lies in it
                folder.rmdir()
        return list(texts)


def divide_into_folds(
    root: str | Path,
    count: int | None,
    *,
    parts: Mapping[str, float] = SHARES,
    of: str = ALL,
    layout: str = "auto",
    classes: str | Sequence[str] | None = None,
    seed: int = 0,
    groups: str | None = None,
    overwrite: bool = False,
    labelled: bool = False,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Folds:
    """Divide the pairs of a data set into folds. Nothing is written before `Folds.write`.

    Each pair is in the test part of exactly one fold. The other pairs of a fold are its training part, out of which its
    val is taken, so that the tested pairs choose nothing. Groups of pairs stay whole in all of this. Pairs, scenes,
    flags and classes are shared out evenly, as in `split_dataset`. The same files, names and seed give the same folds.

    Args:
        root: the data set; its own lists stay as they are.
        count: number of folds, at least 2; None: as many as groups, each of which is tested by itself.
        parts: shares of train and val among the pairs of a fold that are not tested.
        of, layout, classes, seed, groups, labelled, progress: as in `split_dataset`.
        overwrite: whether folds that are there may be replaced.
        out: where the folder `folds` is to lie; None: `root`.

    Raises:
        DataError: more folds than groups, fewer than three groups, pairs without a label, folds that are there, shares
            that are not of train and val, and whatever `open_dataset` and `find_groups` raise.
    """
    root = Path(root)
    folder = (root if out is None else Path(out)) / FOLDER
    _check(count, parts)
    if not overwrite:
        refuse_to_replace_folds(folder)
    contents = read_contents(root, [of], layout=layout, classes=classes)
    dataset = contents.dataset
    unlabelled = sorted(pair.id for pair in contents.pairs.values() if pair.label is None)
    if unlabelled and not labelled:
        raise DataError(
            f"{root}: {pluralize(len(unlabelled), 'pair')} ({name_some(unlabelled)}) without a label cannot be tested; "
            "label them, or leave them out with --labelled"
        )
    pairs, group_of, notes = choose_pairs(contents, groups, labelled)
    rows, columns = count_by_group(pairs, group_of, dataset, progress)
    tested = _test_fold(rows, columns, count, seed, root)
    placed = [_place(columns, tested, number, parts, seed) for number in range(tested.max() + 1)]
    number_of = {group: row for row, group in enumerate(rows)}
    names = tuple(
        {
            part: [pair.id for pair in pairs if PARTS[of_fold[number_of[group_of[pair.id]]]] == part]
            for part in PARTS
        }
        for of_fold in placed
    )  # fmt: skip
    counts = {
        what: [int(amount[tested == number].sum()) for number in range(len(names))]
        for what, amount in {**columns, "groups": np.ones(len(rows))}.items()
        if amount.any()
    }
    about = {"of": of, "seed": seed, "groups": groups or "auto", "layout": dataset.name, "parts": dict(parts)}
    about |= {"labelled": labelled}
    return Folds(folder, names, group_of, counts, about, (*notes, *_missing(columns, placed)), overwrite)


def refuse_to_replace_folds(folder: Path) -> None:
    """Refuse where folds lie in a folder.

    Raises:
        DataError: naming one of their files.
    """
    if found := _files(folder):
        raise DataError(f"{found[0]}: exists; --overwrite replaces all folds, --out takes another folder")


def _files(folder: Path) -> list[Path]:
    """The files of folds that lie in a folder. Folders that are not called by a number are the user's own."""
    lists = [path for part in PARTS for path in folder.glob(f"*/{part}.txt") if path.parent.name.isdecimal()]
    return sorted([*lists, *(path for path in (folder / RECORD,) if path.is_file())])


def _check(count: int | None, parts: Mapping[str, float]) -> None:
    if count is not None and count < 2:
        raise DataError(f"folds: {count} is too few; give 2 or more, or groups to leave one group out at a time")
    if set(parts) != set(SHARES):
        given = ", ".join(parts) or "none"
        raise DataError(f"parts: folds have train and val besides what is tested, not {given}; give both or neither")
    check_shares(parts)


def _test_fold(rows: list[str], columns: Columns, count: int | None, seed: int, root: Path) -> npt.NDArray[np.int64]:
    """The fold that tests each group, (groups,)."""
    found = f"{root}: {pluralize(len(rows), 'group')} ({name_some(rows)})"
    otherwise = "choose the groups in another way (auto, near, a regular expression or a CSV file)"
    if len(rows) < 3:
        raise DataError(f"{found} cannot fill train, val and test of a fold; {otherwise}")
    if count is None:
        return np.arange(len(rows))
    if count > len(rows):
        raise DataError(f"{found} cannot fill {count} folds; give {len(rows)} or fewer, or {otherwise}")
    tested = place_groups(columns, [1 / count] * count, seed)
    if np.bincount(tested).max() > len(rows) - 2:
        raise DataError(f"{found} leave a fold without train and val; give more folds, or {otherwise}")
    return tested


def _place(
    columns: Columns, tested: npt.NDArray[np.int64], number: int, parts: Mapping[str, float], seed: int
) -> npt.NDArray[np.int64]:
    """The part of each group in one fold, (groups,): positions in `PARTS`."""
    others = np.flatnonzero(tested != number)
    placed = np.full(len(tested), PARTS.index("test"))
    placed[others] = place_groups(columns, [parts["train"], parts["val"]], seed, others)
    return placed


def _missing(columns: Columns, placed: list[npt.NDArray[np.int64]]) -> list[str]:
    """Notes on classes that the training part of a fold lacks though the data set has them."""
    notes = []
    for what, amount in columns.items():
        if not what.startswith("pixels of ") or not amount.any():
            continue
        folds = [number for number, of_fold in enumerate(placed) if not amount[of_fold == PARTS.index("train")].any()]
        if folds:
            many = "fold" if len(folds) == 1 else "folds"
            notes.append(
                f"train of {many} {', '.join(map(str, folds))} has no {what}: few groups hold this class, and "
                "it cannot be learned there"
            )
    return notes
