"""Reproducible splits that keep sequences together and distribute scenes and classes evenly."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from cimnet.curation.split.amounts import count_by_group, place_groups
from cimnet.curation.split.division import Division, check_shares, refuse_to_replace
from cimnet.curation.split.extension import form_units, note_extension, read_parts, require_known
from cimnet.curation.split.labelled import choose_pairs
from cimnet.curation.split.stratify import FREE
from cimnet.data.contents import find_splits, read_contents
from cimnet.data.dataset import RGBTDataset
from cimnet.data.io.patterns import split_names
from cimnet.data.io.split_lists import ALL, name_some
from cimnet.errors import ConfigError, DataError
from cimnet.utils.numbers import pluralize
from cimnet.utils.pool import Progress

PARTS = {"train": 0.7, "val": 0.1, "test": 0.2}


def split_dataset(
    root: str | Path,
    *,
    parts: Mapping[str, float] = PARTS,
    of: str = ALL,
    layout: str = "auto",
    classes: str | Sequence[str] | None = None,
    seed: int = 0,
    groups: str | None = None,
    overwrite: bool = False,
    labelled: bool = False,
    extend: bool = False,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Division:
    """Divide the pairs of a data set into parts. Only `Division.write` writes.

    Groups of pairs stay whole. They are placed so that every part holds its share of the pairs, of each scene and flag,
    of the pairs that hold a class and of its pixels (`stratify`). The same files, names and seed give the same parts,
    in whatever order the files lie or are listed.

    Args:
        parts: share by name.
        of: the split to divide, such as "train" into train and val where there is no val.
        layout, classes: as in `open_dataset`.
        seed: decides between divisions that are equally good.
        groups: "auto" (None), "near", a regular expression or a CSV file, see `find_groups`.
        overwrite: whether existing lists may be replaced.
        labelled: whether to leave out the pairs that have no label.
        extend: whether existing lists are extended: the pairs that they hold stay in their part, and only the others
            are placed, those of a known group in its part. So no pair that was trained on is ever tested.
        out: folder for the lists; None: `root`.
        progress: called with the number of pairs read and the total.

    Raises:
        DataError: shares that are not positive or whose sum is not 1, names that cannot be a list's, lists that are
            there, fewer groups than parts, no pair with a label, and whatever `open_dataset` and `find_groups` raise.
        ConfigError: both `overwrite` and `extend`.
    """
    check_shares(parts)
    if overwrite and extend:
        raise ConfigError("--overwrite divides again, --extend keeps what the lists hold; give one of them")
    root = Path(root)
    contents = read_contents(root, [of], layout=layout, classes=classes)
    dataset = contents.dataset
    folder = root if out is None else Path(out)
    if not (overwrite or extend):
        refuse_to_replace(folder, list(parts), dataset.lists)
    _refuse_to_hide(dataset, parts, of, overwrite)
    pairs, group_of, notes = choose_pairs(contents, groups, labelled)
    known = read_parts(dataset, folder, list(parts)) if extend else {}
    require_known(known, contents.pairs, folder, of)
    units = form_units([pair.id for pair in pairs], group_of, known)
    rows, columns = count_by_group(pairs, units, dataset, progress)
    if len(rows) < len(parts):
        found = sorted(set(group_of.values()))
        raise DataError(
            f"{root}: {pluralize(len(found), 'group')} ({name_some(found)}) cannot fill {pluralize(len(parts), 'part')}"
            "; give fewer parts, or choose the groups in another way (auto, near, a regular expression or a CSV file)"
        )
    fixed = np.array([list(parts).index(part) if part else FREE for part, _ in rows], np.int64)
    placed = dict(zip(rows, place_groups(columns, list(parts.values()), seed, fixed=fixed), strict=True))
    part_of = {pair.id: list(parts)[placed[units[pair.id]]] for pair in pairs}
    placed_rows = np.array([placed[row] for row in rows])
    counts = {
        what: {part: int(amount[placed_rows == number].sum()) for number, part in enumerate(parts)}
        for what, amount in columns.items()
        if amount.any()
    }
    members = {part: {group_of[name] for name, its in part_of.items() if its == part} for part in parts}
    counts["groups"] = {part: len(found) for part, found in members.items()}
    if known:
        notes += tuple(note_extension([pair.id for pair in pairs], group_of, known))
    return Division(
        out=folder,
        parts=dict(parts),
        names={part: [name for name, its in part_of.items() if its == part] for part in parts},
        groups=group_of,
        counts=counts,
        about={
            "of": of,
            "seed": seed,
            "groups": groups or "auto",
            "layout": dataset.name,
            "labelled": labelled,
            "extended": bool(known),
        },
        notes=(*notes, *_overlaps(dataset, part_of, parts, of, contents.pairs.keys() - part_of.keys())),
        overwrite=overwrite or extend,
        lists=dataset.lists,
    )


def _refuse_to_hide(dataset: RGBTDataset, parts: Mapping[str, float], of: str, overwrite: bool) -> None:
    """A list wins over the split folder of its name: dividing one split must not hide another."""
    hidden = [name for name in dataset.index(dataset.root).folders if name in parts and of not in (name, ALL)]
    if hidden and not overwrite:
        raise DataError(
            f"{dataset.root}: a list {hidden[0]}.txt of pairs of {of} would hide the pairs of the folder {hidden[0]}; "
            "choose another name for the part, or pass --overwrite"
        )


def _overlaps(
    dataset: RGBTDataset, part_of: Mapping[str, str], parts: Mapping[str, float], of: str, left_out: Collection[str]
) -> list[str]:
    """Notes on splits that stay and share pairs with the parts, and on pairs that no split will hold any more, without
    those that were `left_out` on purpose."""
    index = dataset.index(dataset.root)
    notes = []
    for other in find_splits(dataset.root, type(dataset)):
        names = split_names(dataset.root, other, index, dataset.lists)
        found = sorted({part_of[name] for name in names if name in part_of})
        lost = sum(name not in part_of and name not in left_out for name in names)
        if lost and other in parts:
            comes = f"{pluralize(lost, 'pair')} that split {other!r} holds now {'comes' if lost == 1 else 'come'}"
            notes.append(f"{comes} into no part: divide all of them")
        if found and other not in (*parts, of):
            notes.append(
                f"split {other!r}, which stays, shares pairs with {', '.join(found)}: do not use it beside them"
            )
    return notes
