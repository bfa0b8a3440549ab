"""Read image files as `RGBTSample`s. A layout is one file with one class, and one line in `LAYOUTS`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cimnet.data.classes import BUILT_IN, ClassList, palette
from cimnet.data.dataset import Broken, Cache, RGBTDataset, Transform
from cimnet.data.io.folder_spelling import case_hint
from cimnet.data.io.readers import read_label, read_rgb, read_rgbt
from cimnet.data.io.second_modality import THERMAL, SecondModality
from cimnet.data.io.thermal_files import read_thermal_counts
from cimnet.data.io.thermal_scaling import ThermalRange, ThermalScaling
from cimnet.data.layouts.cart import CART
from cimnet.data.layouts.coco import CocoPanoptic
from cimnet.data.layouts.fmb import FMB
from cimnet.data.layouts.folder import Folder
from cimnet.data.layouts.kust4k import KUST4K_CLASSES, Kust4K
from cimnet.data.layouts.mfnet import MFNET_CLASSES, MFNet
from cimnet.data.layouts.msrs import MSRS
from cimnet.data.layouts.pst900 import PST900, PST900Raw
from cimnet.data.sample import IGNORE_INDEX, Batch, RGBTSample, collate
from cimnet.data.statistics import suggest_thermal_range, thermal_statistics
from cimnet.errors import DataError

if TYPE_CHECKING:
    from cimnet.data.transforms import TrainTransform, train_transform

LAYOUTS: dict[str, type[RGBTDataset]] = {
    layout.name: layout for layout in (CocoPanoptic, Folder, MFNet, Kust4K, MSRS, PST900, PST900Raw, FMB, CART)
}
"""Layouts by name; the first that recognises a folder opens it."""

__all__ = [
    "BUILT_IN",
    "IGNORE_INDEX",
    "KUST4K_CLASSES",
    "LAYOUTS",
    "MFNET_CLASSES",
    "Batch",
    "ClassList",
    "Folder",
    "Kust4K",
    "MFNet",
    "RGBTDataset",
    "RGBTSample",
    "SecondModality",
    "ThermalScaling",
    "TrainTransform",
    "collate",
    "open_dataset",
    "palette",
    "read_label",
    "read_rgb",
    "read_rgbt",
    "read_thermal_counts",
    "suggest_thermal_range",
    "thermal_statistics",
    "train_transform",
]


def __getattr__(name: str) -> Any:
    """Import what only training needs when it is first used: torchvision takes two seconds."""
    if name not in ("TrainTransform", "train_transform"):
        raise AttributeError(f"module 'cimnet.data' has no attribute '{name}'")
    from cimnet.data import transforms

    return getattr(transforms, name)


def open_dataset(
    root: str | Path,
    split: str,
    *,
    layout: str = "auto",
    classes: str | Sequence[str] | None = None,
    thermal_range: ThermalRange | None = None,
    transform: Transform | None = None,
    require_labels: bool = True,
    cache: Cache = "none",
    cache_folder: str | Path = "runs/cache",
    broken: Broken = "keep",
    thermal_dtype: str | None = None,
    check_range: bool | Literal["force"] = False,
    second: SecondModality | None = None,
) -> RGBTDataset:
    """Open one split of a data set folder; the arguments are those of `RGBTDataset`.

    `layout` is "auto" (recognised by the folders inside; "folder" for another second modality than thermal) or a name
    in `LAYOUTS`.

    Raises:
        DataError: no such folder, an unknown or unrecognised layout, or data that cannot be used.
    """
    root = Path(root)
    if layout == "auto" and second is not None and second.name != THERMAL.name:
        layout = Folder.name
    return find_layout(root, layout)(
        root,
        split,
        classes=classes,
        thermal_range=thermal_range,
        transform=transform,
        require_labels=require_labels,
        cache=cache,
        cache_folder=cache_folder,
        broken=broken,
        thermal_dtype=thermal_dtype,
        check_range=check_range,
        second=second,
    )


def find_layout(root: Path, name: str = "auto") -> type[RGBTDataset]:
    """The layout of a folder, recognised or by name.

    Raises:
        DataError: no such folder, an unknown or unrecognised layout.
    """
    try:
        there = root.is_dir()
    except OSError as error:  # a name that is too long, a folder above that may not be entered
        raise DataError(f"{root}: the folder cannot be read ({error.strerror}); give another path") from error
    if not there:
        raise DataError(f"{root}: no such folder")
    if name != "auto":
        if name not in LAYOUTS:
            raise DataError(f"layout: no layout {name!r}; there are auto, {', '.join(LAYOUTS)}")
        return LAYOUTS[name]
    for layout in LAYOUTS.values():
        if layout.recognises(root):
            return layout
    expected = "; ".join(f"{layout.name}: {layout.expects()}" for layout in LAYOUTS.values())
    forms = [form.patterns() for layout in LAYOUTS.values() for form in layout.forms]
    raise DataError(
        f"{root}: not a layout known here{case_hint(root, forms)}; expected one of {expected}; for other folders write "
        "patterns under `files:` in classes.yaml"
    )
