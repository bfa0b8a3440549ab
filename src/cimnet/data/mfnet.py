"""MFNet's layout: one RGBA file a pair, thermal in the fourth channel (Ha et al., IROS 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cimnet.data.base import Listing, Pair, RGBTDataset
from cimnet.data.classes import built_in, choose_classes
from cimnet.data.files import folder_names, index_images, require_all, scenes_of, split_names

MFNET_CLASSES = built_in(
    "mfnet",
    (
        ("unlabelled", (0, 0, 0)),
        ("car", (64, 0, 128)),
        ("person", (64, 64, 0)),
        ("bike", (0, 128, 192)),
        ("curve", (0, 0, 192)),
        ("car_stop", (128, 128, 0)),
        ("guardrail", (64, 64, 128)),
        ("colour_cone", (192, 128, 128)),
        ("bump", (192, 64, 0)),
    ),
)

_FLIP = "_flip"


class MFNet(RGBTDataset):
    """`images/NAME.png` (RGBA), `labels/NAME.png`, `train.txt`, `val.txt`, `test.txt`.

    Scenes come from `SPLIT_day.txt` and `SPLIT_night.txt` where they exist, otherwise from the D or N of the
    name. Some published lists name `NAME_flip` files that exist only after an offline augmentation: where
    such a file is missing, the mirrored original is served under that name.
    """

    name = "mfnet"
    expects = "images/ (RGBA, thermal in the fourth channel), labels/, train.txt"

    @classmethod
    def recognises(cls, root: Path) -> bool:
        return "images" in folder_names(root)

    @classmethod
    def find(cls, root: Path, split: str, classes: str | Sequence[str] | None, require_labels: bool) -> Listing:
        images = index_images(root / "images")
        labels = index_images(root / "labels") if require_labels or (root / "labels").is_dir() else {}
        names = split_names(root, split, images)
        source = {name: _source(name, images, labels if require_labels else images) for name in names}
        require_all(list(source.values()), images, root / "images", f"named by split {split!r}")
        if require_labels:
            require_all(list(source.values()), labels, root / "labels", "labels are required")
        pairs = [
            Pair(
                id=name,
                rgb=images[source[name]],
                thermal=None,
                label=labels.get(source[name]),
                scene=scene,
                mirrored=source[name] != name,
            )
            for name, scene in zip(names, scenes_of(root, split, names), strict=True)
        ]
        return Listing(pairs, choose_classes(classes, MFNET_CLASSES, root) or MFNET_CLASSES)


def _source(name: str, images: dict[str, Path], labels: dict[str, Path]) -> str:
    """The files that serve a name: its own, or those of the original where a `_flip` name lacks one of them."""
    original = name.removesuffix(_FLIP)
    return original if original in images and not (name in images and name in labels) else name
