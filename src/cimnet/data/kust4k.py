"""Kust4K's layout: flat folders RGB, TIR, Seg_annos with the same names (Scientific Data 12:1701, 2025)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cimnet.data.base import Listing, Pair, RGBTDataset
from cimnet.data.classes import built_in, choose_classes
from cimnet.data.files import (
    find_list,
    folder_names,
    index_images,
    read_names,
    require_all,
    scenes_of,
    split_names,
)
from cimnet.errors import DataError
from cimnet.scenes.classes import CLASSES, COLORS

KUST4K_CLASSES = built_in("kust4k", tuple(zip(CLASSES, COLORS, strict=True)))

FLAG_LISTS = {"rgb_broken": "broke_RGB", "thermal_broken": "broke_TIR", "weakly_aligned": "weakly_aligned"}
"""Names of the lists (NAME.txt) that hold the pairs with a flag."""


class Kust4K(RGBTDataset):
    """`RGB/NAME.png`, `TIR/NAME.png`, `Seg_annos/NAME.png`, `train.txt`, `val.txt`, `test.txt`.

    Flags: `rgb_broken` (broke_RGB.txt), `thermal_broken` (broke_TIR.txt), `broken` (in a broken_in_*.txt but
    in neither of the two), `weakly_aligned` (weakly_aligned.txt). Scenes come from day.txt, night.txt and
    dark_night.txt where they exist, otherwise from the D or N of the name (N: "night", dark or not).
    `broken="drop"` leaves the deliberately broken pairs out; without their lists it is an error.
    """

    name = "kust4k"
    expects = "RGB/, TIR/, Seg_annos/ (same names), train.txt"

    @classmethod
    def recognises(cls, root: Path) -> bool:
        return {"RGB", "TIR"} <= folder_names(root)

    @classmethod
    def find(cls, root: Path, split: str, classes: str | Sequence[str] | None, require_labels: bool) -> Listing:
        rgb, thermal = index_images(root / "RGB"), index_images(root / "TIR")
        labels = index_images(root / "Seg_annos") if require_labels or (root / "Seg_annos").is_dir() else {}
        names = split_names(root, split, rgb.keys() | thermal.keys())
        why = f"named by split {split!r}"
        require_all(names, rgb, root / "RGB", why)
        require_all(names, thermal, root / "TIR", why)
        if require_labels:
            require_all(names, labels, root / "Seg_annos", "labels are required")
        flags, broken_known = _flags(root)
        pairs = [
            Pair(name, rgb[name], thermal[name], labels.get(name), scene, frozenset(flags.get(name, ())))
            for name, scene in zip(names, scenes_of(root, split, names), strict=True)
        ]
        chosen = choose_classes(classes, KUST4K_CLASSES, root) or KUST4K_CLASSES
        return Listing(pairs, chosen, broken_known=broken_known)

    def truth(self, index: int) -> dict[str, npt.NDArray[Any]] | None:
        """Arrays of `truth/NAME.npz` (`offset`, `moving`), which made-up data sets carry; None without it.

        Raises:
            DataError: the file cannot be read.
        """
        path = self.root / "truth" / f"{self.ids[index]}.npz"
        if not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return {key: arrays[key] for key in arrays.files}
        except Exception as error:  # numpy and zipfile raise many kinds on damaged archives
            raise DataError(f"{path}: cannot be read as npz ({' '.join(str(error).split())})") from error


def _flags(root: Path) -> tuple[dict[str, set[str]], bool]:
    """Flags by name, and whether any list of broken pairs exists."""
    flags: dict[str, set[str]] = {}
    found = {flag: path for flag, name in FLAG_LISTS.items() if (path := find_list(root, name)) is not None}
    for flag, path in found.items():
        for name in read_names(path):
            flags.setdefault(name, set()).add(flag)
    either = sorted(path for folder in (root, root / "splits") for path in folder.glob("broken_in_*.txt"))
    for path in either:
        for name in read_names(path):
            if not flags.get(name, set()) & {"rgb_broken", "thermal_broken"}:
                flags.setdefault(name, set()).add("broken")
    return flags, bool(either) or "rgb_broken" in found or "thermal_broken" in found
