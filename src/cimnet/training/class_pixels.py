"""Which classes the labels of a training split hold, said before the first step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cimnet.data import IGNORE_INDEX, RGBTDataset
from cimnet.data.io.split_lists import name_some
from cimnet.data.labels import binary_mask_fault, binary_mask_remedy, is_binary_mask
from cimnet.errors import DataError


def check_splits(train_set: RGBTDataset, val_set: RGBTDataset, allow_absent: bool) -> tuple[npt.NDArray[np.int64], str]:
    """Check all files of both splits. Returns the training set's pixels of each class, and what to say of them.

    Raises:
        DataError: a file that cannot be used; and see `check_classes`.
    """
    counts = train_set.check()
    sentence = check_classes(train_set, counts, allow_absent)
    val_set.thermal_dtype = train_set.thermal_dtype
    if not val_set.check().any():
        raise DataError(f"{val_set.root}, split {val_set.split!r}: every label pixel is 255 (ignore)")
    return counts, sentence


def check_classes(train_set: RGBTDataset, pixels: npt.NDArray[np.int64], allow_absent: bool) -> str:
    """Refuse a split in which a class of the data set has no pixel: nothing could be learned about it.

    Args:
        train_set: after its `check`.
        pixels: of each class, as `check` counts them.
        allow_absent: train all the same.

    Returns:
        Which share of the label pixels is ignored, and which classes have none, in words; "" where there is nothing to
        say.

    Raises:
        DataError: masks of 0 and 255 that no label_table explains, every pixel ignored, or a class without a pixel.
    """
    where = f"{train_set.root}, split {train_set.split!r}"
    present = [class_id for class_id, count in enumerate(pixels) if count]
    ignored = [IGNORE_INDEX] if train_set.ignored else []
    if train_set.plain_ids and is_binary_mask([*present, *ignored], len(train_set.classes)):
        names = train_set.classes
        raise DataError(f"{where}: {binary_mask_fault(names)}; {binary_mask_remedy(names)}")
    if not present:
        raise DataError(f"{where}: every label pixel is 255 (ignore); correct the labels or the label_table")
    absent = [name for name, count in zip(train_set.classes, pixels, strict=True) if not count]
    share = train_set.ignored / max(int(pixels.sum()) + train_set.ignored, 1)
    said = _sentence(absent, share)
    if absent and not allow_absent:
        raise DataError(
            f"{where}: {said}; correct the labels or the class list, or give --allow-absent "
            "(data.allow_absent: true) to train without"
        )
    return f"{where}: {said}" if said else ""


def _sentence(absent: Sequence[str], share: float) -> str:
    parts = [f"no label has a pixel of {name_some(absent, 6)}"] if absent else []
    if share:
        percent = f"{100 * share:.1f}%" if share >= 0.001 else "less than 0.1%"
        parts.append(f"{percent} of the label pixels are 255 (ignored)")
    return ", and ".join(parts)
