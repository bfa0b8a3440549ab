"""Amounts in each group of pairs, which a division distributes evenly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from cimnet.curation.split.stratify import stratify
from cimnet.data.class_pixels import count_label
from cimnet.data.dataset import RGBTDataset
from cimnet.data.pairs import Pair
from cimnet.utils.pool import Progress, map_in_threads

Key = TypeVar("Key", str, tuple[str, str])
Columns = dict[str, npt.NDArray[np.float64]]
_WEIGHT_OF_PAIRS = 4.0  # beside 1 for each scene, flag and class


def place_groups(
    columns: Columns,
    shares: Sequence[float],
    seed: int,
    chosen: npt.NDArray[np.int64] | None = None,
    fixed: npt.NDArray[np.int64] | None = None,
) -> npt.NDArray[np.int64]:
    """The part of each group, (groups,), so that every part holds its share of every column of `count_by_group`.

    Args:
        chosen: positions of the groups to place; None: all.
        fixed: as in `stratify`, of the groups to place.
    """
    amounts = np.stack(list(columns.values()), axis=1)
    weights = [_WEIGHT_OF_PAIRS] + [1.0] * (len(columns) - 1)
    return stratify(amounts if chosen is None else amounts[chosen], shares, seed, weights, fixed)


def count_by_group(
    pairs: Sequence[Pair],
    group_of: Mapping[str, Key],
    dataset: RGBTDataset,
    progress: Progress | None,
) -> tuple[list[Key], Columns]:
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
    """Pixels of each class, (classes,); none of a pair without a label."""
    if pair.label is None:
        return np.zeros(len(dataset.classes), np.int64)
    return count_label(dataset, pair)[: len(dataset.classes)]
