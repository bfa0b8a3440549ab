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
    """Open one split of a data set folder.

    Opening checks names, partners and, by the files' headers, sizes; pixels are decoded when a sample is read.

    Args:
        root: the data set's folder.
        split: name of a list ("train" for ``train.txt``) or of a split folder, or "all" for every pair.
        layout: how the folder is organised: a name in ``LAYOUTS``, or "auto" to recognise it by its folders ("folder"
            if ``second`` is not thermal).
        classes: class names in the order of their ids, or the name of a built-in list such as "kust4k" or "mfnet".
            None: what the data set says, in its ``classes.yaml`` or by its layout.
        thermal_range: how raw thermal values become 0..1: (low, high), the values that map to 0 and 1 (what lies
            outside is clipped); a :class:`cimnet.data.ThermalScaling`; or a mapping of its fields. None: what the data
            set says, otherwise the whole range of the bit depth.
        transform: called with each :class:`cimnet.RGBTSample` after it was read; returns the sample that you get.
        require_labels: whether every pair must have a label. False: pairs without one have ``label`` None.
        cache: "none": decode the files at each access. "ram": keep decoded images in memory, in each process. "disk":
            keep them in one file, which all processes and runs share.
        cache_folder: folder of that file; only for "disk".
        broken: which pairs to take, by the data set's lists of broken sensors. "keep": all. "drop": the sound ones.
            "only": the broken ones. "rgb" or "thermal": those whose RGB or thermal image is broken.
        thermal_dtype: "uint8", "uint16" or "float32": refuse thermal images of another type. None: accept all.
        check_range: whether to compare thermal values with the range, if the range is not the data set's own. True:
            warn of values outside, and refuse images with half of them outside. "force": only warn.
        second: what the second image of each pair is, if not thermal. None: what the data set says, otherwise thermal.

    Returns:
        A ``torch.utils.data.Dataset`` of :class:`cimnet.RGBTSample`.

    Raises:
        DataError: the folder does not exist, its layout is not known, or its data cannot be used, for example because
            of a missing partner or of sizes that differ. The message names the file.
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
    """The layout of a folder.

    Args:
        root: the data set's folder.
        name: a name in ``LAYOUTS``, or "auto" to recognise it by its folders.

    Raises:
        DataError: the folder does not exist, or the layout is not known.
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
