"""Everything in a data set folder, however its splits are given. Converting and splitting start from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cimnet.data import find_layout
from cimnet.data.dataset import Broken, RGBTDataset
from cimnet.data.dataset_file import YAML_NAMES
from cimnet.data.flags import FLAG_LISTS
from cimnet.data.io.patterns import names_pairs
from cimnet.data.io.split_lists import ALL, SPLIT_FOLDERS, list_names
from cimnet.data.io.thermal_scaling import ThermalRange
from cimnet.data.pairs import Pair

SCENE_LISTS = ("day", "night", "dark_night")
"""Scenes whose lists lie beside the split lists; others lie in scenes/."""


@dataclass(frozen=True)
class Contents:
    """Pairs by id and ids by split; `dataset` reads the pairs (`decode`), whichever split they are of."""

    dataset: RGBTDataset
    pairs: dict[str, Pair]
    splits: dict[str, list[str]]


def read_contents(
    root: str | Path,
    splits: Sequence[str] | None = None,
    *,
    layout: str = "auto",
    classes: str | Sequence[str] | None = None,
    thermal_range: ThermalRange | None = None,
    broken: Broken = "keep",
) -> Contents:
    """Open splits of a folder, with or without labels; None: every split and "all".

    A pair's scene is that of the first split which says one.

    Raises:
        DataError: see `RGBTDataset`.
    """
    root = Path(root)
    kind = find_layout(root, layout)
    names = [*find_splits(root, kind), ALL] if splits is None else list(splits)
    opened = {
        name: kind(
            root, name, classes=classes, thermal_range=thermal_range, require_labels=False, broken=broken
        )
        for name in names
    }  # fmt: skip
    pairs: dict[str, Pair] = {}
    for dataset in opened.values():
        for pair in dataset.pairs:
            if pair.id not in pairs or not pairs[pair.id].scene:
                pairs[pair.id] = pair
    return Contents(opened[names[0]], pairs, {name: dataset.ids for name, dataset in opened.items()})


def files_of(root: Path, layout: str = "auto") -> list[Path]:
    """The files of a data set that `cimnet` reads, whether or not they fit together: images, labels, lists, classes.

    Raises:
        DataError: an unknown layout, or a folder that has none.
    """
    index = find_layout(root, layout).index(root)
    parts = [part.files.values() for part in (index.rgb, index.thermal, index.labels) if part is not None]
    return [*(root / name for name in YAML_NAMES), *sorted(root.glob("*.txt")), *(p for part in parts for p in part)]


def find_splits(root: Path, layout: type[RGBTDataset]) -> list[str]:
    """Names of the splits of a folder: its split folders, and its lists that name pairs and tell neither scenes nor
    flags; train, val and test come first."""
    index = layout.index(root)
    lists = list_names(root, layout.lists)
    telling = {*SCENE_LISTS, *FLAG_LISTS.values()}
    telling |= {f"{split}_{scene}" for split in (*lists, *index.folders) for scene in SCENE_LISTS}
    named = {name for name in lists if name not in telling and not name.startswith("broken_in_")}
    found = {name for name in named if names_pairs(root, name, index, layout.lists)} | index.folders.keys()
    return [*(name for name in SPLIT_FOLDERS if name in found), *sorted(found.difference(SPLIT_FOLDERS))]
