"""Splits that can be made again, keep sequences together and share out scenes and classes evenly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cimnet.curation.split.division import Division, refuse_to_replace
from cimnet.curation.split.groups import find_groups
from cimnet.curation.split.stratify import stratify
from cimnet.data.contents import SCENE_LISTS, find_splits, read_contents
from cimnet.data.dataset import RGBTDataset
from cimnet.data.flags import FLAG_LISTS
from cimnet.data.io.patterns import split_names
from cimnet.data.io.split_lists import ALL, list_text, name_some
from cimnet.data.pairs import Pair
from cimnet.errors import DataError
from cimnet.utils.numbers import pluralize
from cimnet.utils.pool import Progress, map_in_threads

PARTS = {"train": 0.7, "val": 0.1, "test": 0.2}
_WEIGHT_OF_PAIRS = 4.0  # beside 1 for each scene, flag and class


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
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Division:
    """Divide the pairs of a data set. Nothing is written before `Division.write`.

    Groups of pairs stay whole. They are placed so that every part holds its share of the pairs, of each scene and flag,
    of the pairs that hold a class and of its pixels (`stratify`). The same files, names and seed give the same parts,
    in whatever order the files lie or are listed.

    Args:
        parts: share by name.
        of: the split to divide, such as "train" into train and val where there is no val.
        layout, classes: as in `open_dataset`.
        seed: decides between divisions that are about as good.
        groups: "auto" (None), "near" or a regular expression, see `find_groups`.
        overwrite: whether lists that are there may be replaced.
        out: where the lists are to lie; None: `root`.
        progress: called with the numbers of pairs looked at and in all.

    Raises:
        DataError: shares that are not positive or whose sum is not 1, names that cannot be a list's, lists that are
            there, fewer groups than parts, and whatever `open_dataset` and `find_groups` raise.
    """
    _check_parts(parts)
    root = Path(root)
    contents = read_contents(root, [of], layout=layout, classes=classes)
    dataset = contents.dataset
    folder = root if out is None else Path(out)
    if not overwrite:
        refuse_to_replace(folder, list(parts), dataset.lists)
    _refuse_to_hide(dataset, parts, of, overwrite)
    pairs = [contents.pairs[name] for name in sorted(contents.pairs)]
    list_text([pair.id for pair in pairs], dataset.index(dataset.root).resolve)  # before the work
    group_of, note = find_groups(pairs, groups or "auto")
    rows, columns = _held(pairs, group_of, dataset, progress)
    if len(rows) < len(parts):
        raise DataError(
            f"{root}: {pluralize(len(rows), 'group')} ({name_some(rows)}) cannot fill {pluralize(len(parts), 'part')}; "
            "give fewer parts, or tell the groups otherwise (auto, near or a regular expression)"
        )
    amounts = np.stack(list(columns.values()), axis=1)
    weights = [_WEIGHT_OF_PAIRS] + [1.0] * (len(columns) - 1)
    placed = dict(zip(rows, stratify(amounts, list(parts.values()), seed, weights), strict=True))
    part_of = {pair.id: list(parts)[placed[group_of[pair.id]]] for pair in pairs}
    placed_rows = np.array([placed[group] for group in rows])
    counts = {
        what: {part: int(amount[placed_rows == number].sum()) for number, part in enumerate(parts)}
        for what, amount in {**columns, "groups": np.ones(len(rows))}.items()
        if amount.any()
    }
    return Division(
        out=folder,
        parts=dict(parts),
        names={part: [name for name, its in part_of.items() if its == part] for part in parts},
        groups=group_of,
        counts=counts,
        about={"of": of, "seed": seed, "groups": groups or "auto", "layout": dataset.name},
        notes=tuple(text for text in (note, *_overlaps(dataset, part_of, parts, of)) if text),
        overwrite=overwrite,
        lists=dataset.lists,
    )


def _check_parts(parts: Mapping[str, float]) -> None:
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


def _refuse_to_hide(dataset: RGBTDataset, parts: Mapping[str, float], of: str, overwrite: bool) -> None:
    """A list wins over the split folder of its name: dividing one split must not hide another."""
    hidden = [name for name in dataset.index(dataset.root).folders if name in parts and of not in (name, ALL)]
    if hidden and not overwrite:
        raise DataError(
            f"{dataset.root}: a list {hidden[0]}.txt of pairs of {of} would hide the pairs of the folder {hidden[0]}; "
            "name the part otherwise, or say --overwrite"
        )


def _held(
    pairs: Sequence[Pair],
    group_of: Mapping[str, str],
    dataset: RGBTDataset,
    progress: Progress | None,
) -> tuple[list[str], dict[str, npt.NDArray[np.float64]]]:
    """Groups, sorted, and how much each holds of everything that is counted: one array (groups,) a thing."""
    pixels = np.zeros((len(pairs), len(dataset.classes)))
    for number, counted in enumerate(map_in_threads(partial(_count, dataset), pairs)):
        pixels[number] = counted
        if progress is not None:
            progress(number + 1, len(pairs))
    columns: dict[str, Any] = {"pairs": np.ones(len(pairs))}
    labelled = [pair.label is not None for pair in pairs]
    if any(labelled) and not all(labelled):
        columns["labelled pairs"] = labelled
    for scene in sorted({pair.scene for pair in pairs} - {""}):
        columns[f"scene {scene}"] = [pair.scene == scene for pair in pairs]
    for flag in sorted({flag for pair in pairs for flag in pair.flags}):
        columns[flag] = [flag in pair.flags for pair in pairs]
    for class_id, name in enumerate(dataset.classes):
        columns[f"pixels of {name}"] = pixels[:, class_id]
    for class_id, name in enumerate(dataset.classes):
        columns[f"pairs with {name}"] = pixels[:, class_id] > 0
    groups = sorted(set(group_of.values()))
    number_of = {group: number for number, group in enumerate(groups)}
    rows = [number_of[group_of[pair.id]] for pair in pairs]
    held = {what: np.zeros(len(groups)) for what in columns}
    for what, values in columns.items():
        np.add.at(held[what], rows, values)
    return groups, held


def _count(dataset: RGBTDataset, pair: Pair) -> npt.NDArray[np.int64]:
    """Pixels of each class in a label, (classes,), without the border."""
    if pair.label is None:
        return np.zeros(len(dataset.classes), np.int64)
    ids = dataset.class_ids(pair.label)
    top, right, bottom, left = dataset.file.border
    inside = ids[top : ids.shape[0] - bottom, left : ids.shape[1] - right]
    return np.bincount(inside.ravel(), minlength=256)[: len(dataset.classes)].astype(np.int64)


def _overlaps(dataset: RGBTDataset, part_of: Mapping[str, str], parts: Mapping[str, float], of: str) -> list[str]:
    """Notes on splits that stay and share pairs with the parts, and on pairs that no split will hold any more."""
    index = dataset.index(dataset.root)
    notes = []
    for other in find_splits(dataset.root, type(dataset)):
        names = split_names(dataset.root, other, index, dataset.lists)
        found = sorted({part_of[name] for name in names if name in part_of})
        lost = sum(name not in part_of for name in names)
        if lost and other in parts:
            comes = f"{pluralize(lost, 'pair')} that split {other!r} holds now {'comes' if lost == 1 else 'come'}"
            notes.append(f"{comes} into no part: divide all of them")
        if found and other not in (*parts, of):
            notes.append(
                f"split {other!r}, which stays, shares pairs with {', '.join(found)}: do not use it beside them"
            )
    return notes
