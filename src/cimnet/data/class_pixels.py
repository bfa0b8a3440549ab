"""Report which classes the labels of a split hold, before a model is trained or scored on it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from cimnet.data.dataset import RGBTDataset
from cimnet.data.io.split_lists import name_some
from cimnet.data.labels import binary_mask_fault, binary_mask_remedy, is_binary_mask
from cimnet.data.pairs import Pair
from cimnet.data.sample import IGNORE_INDEX
from cimnet.errors import DataError
from cimnet.utils.pool import map_in_threads


def check_splits(train_set: RGBTDataset, val_set: RGBTDataset, allow_absent: bool) -> tuple[npt.NDArray[np.int64], str]:
    """Check all files of both splits. Return the training set's pixels of each class, and a note on them.

    Raises:
        DataError: a file that cannot be used; see also `check_classes`.
    """
    counts = train_set.check()
    sentence = check_classes(train_set, counts, allow_absent)
    val_set.thermal_dtype = train_set.thermal_dtype
    if not val_set.check().any():
        raise DataError(f"{val_set.root}, split {val_set.split!r}: every label pixel is 255 (ignore)")
    return counts, sentence


def check_scorable(dataset: RGBTDataset) -> str:
    """Decode all labels of a split before it is scored. Return a note on them: which share is ignored, which classes
    have no pixel; "" if there is nothing to say.

    Raises:
        DataError: a label that cannot be used, masks of 0 and 255 that no label_table explains, or every pixel ignored.
    """
    pairs = [pair for pair in dataset.pairs if pair.label is not None]
    counts = sum(map_in_threads(partial(count_label, dataset), pairs), np.zeros(256, dtype=np.int64))
    dataset.ignored = int(counts[IGNORE_INDEX])
    return _describe(dataset, _require_classes(dataset, counts[: len(dataset.classes)]))


def count_label(dataset: RGBTDataset, pair: Pair) -> npt.NDArray[np.int64]:
    """Pixels by class id, (256,), of a pair with a label, inside the border."""
    assert pair.label is not None
    ids = dataset.class_ids(pair.label)
    top, right, bottom, left = dataset.file.border
    inside = ids[top : ids.shape[0] - bottom, left : ids.shape[1] - right]
    return np.bincount(inside.ravel(), minlength=256).astype(np.int64)


def check_classes(train_set: RGBTDataset, pixels: npt.NDArray[np.int64], allow_absent: bool) -> str:
    """Refuse a split in which a class of the data set has no pixel: the model could not learn it.

    Args:
        train_set: after its `check`.
        pixels: of each class, as `check` counts them.
        allow_absent: train anyway.

    Returns:
        Which share of the label pixels is ignored, and which classes have none, in words; "" where there is nothing to
        say.

    Raises:
        DataError: masks of 0 and 255 that no label_table explains, every pixel ignored, or a class without a pixel.
    """
    said = _describe(train_set, _require_classes(train_set, pixels))
    if not pixels.all() and not allow_absent:
        raise DataError(
            f"{said}; correct the labels or the class list, or give --allow-absent (data.allow_absent: true) to train "
            "without"
        )
    return said


def _require_classes(dataset: RGBTDataset, pixels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The pixels of each class, if there are any and they mean what the class list says."""
    present = [class_id for class_id, count in enumerate(pixels) if count]
    ignored = [IGNORE_INDEX] if dataset.ignored else []
    if dataset.plain_ids and is_binary_mask([*present, *ignored]):
        raise DataError(
            f"{_place(dataset)}: {binary_mask_fault(dataset.classes)}; {binary_mask_remedy(dataset.classes)}"
        )
    if not present:
        raise DataError(f"{_place(dataset)}: every label pixel is 255 (ignore); correct the labels or the label_table")
    return pixels


def _describe(dataset: RGBTDataset, pixels: npt.NDArray[np.int64]) -> str:
    absent = [name for name, count in zip(dataset.classes, pixels, strict=True) if not count]
    said = _sentence(absent, dataset.ignored / max(int(pixels.sum()) + dataset.ignored, 1))
    return f"{_place(dataset)}: {said}" if said else ""


def _place(dataset: RGBTDataset) -> str:
    return f"{dataset.root}, split {dataset.split!r}"


def _sentence(absent: Sequence[str], share: float) -> str:
    parts = [f"no label has a pixel of {name_some(absent, 6)}"] if absent else []
    if share:
        percent = f"{100 * share:.1f}%" if share >= 0.001 else "less than 0.1%"
        parts.append(f"{percent} of the label pixels are 255 (ignored)")
    return ", and ".join(parts)
