"""The generic layout: rgb/ thermal/ labels/, split lists, and a YAML with the classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cimnet.data.base import Listing, Pair, RGBTDataset
from cimnet.data.classes import choose_classes, read_dataset_file
from cimnet.data.files import folder_names, index_images, require_all, scenes_of, split_names
from cimnet.errors import DataError


class Folder(RGBTDataset):
    """`rgb/NAME.*`, `thermal/NAME.*`, `labels/NAME.*` (extensions may differ), `train.txt`, `classes.yaml`.

    See `read_dataset_file` for the YAML. Scenes come from day.txt, night.txt, dark_night.txt where they
    exist, or from names like 00012D and 00012N.
    """

    name = "folder"
    expects = "rgb/, thermal/, labels/ (same names), train.txt, classes.yaml"

    @classmethod
    def recognises(cls, root: Path) -> bool:
        return {"rgb", "thermal"} <= folder_names(root)

    @classmethod
    def find(cls, root: Path, split: str, classes: str | Sequence[str] | None, require_labels: bool) -> Listing:
        about = read_dataset_file(root)
        chosen = choose_classes(classes, None if about is None else about.classes, root)
        if chosen is None:
            raise DataError(
                f"{root}: no class names; write {root / 'classes.yaml'} with one line such as "
                "'classes: [background, person, car]' (ids from 0), or give classes"
            )
        rgb, thermal = index_images(root / "rgb"), index_images(root / "thermal")
        labels = index_images(root / "labels") if require_labels or (root / "labels").is_dir() else {}
        names = split_names(root, split, rgb.keys() | thermal.keys())
        why = f"named by split {split!r}"
        require_all(names, rgb, root / "rgb", why)
        require_all(names, thermal, root / "thermal", why)
        if require_labels:
            require_all(names, labels, root / "labels", "labels are required")
        pairs = [
            Pair(name, rgb[name], thermal[name], labels.get(name), scene)
            for name, scene in zip(names, scenes_of(root, split, names), strict=True)
        ]
        if about is None:
            return Listing(pairs, chosen)
        return Listing(pairs, chosen, about.thermal_range, about.ignore_id)
