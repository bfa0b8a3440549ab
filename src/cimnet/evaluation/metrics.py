"""Segmentation scores from one confusion matrix over a whole set; never from means over batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from cimnet.data.sample import IGNORE_INDEX
from cimnet.errors import DataError

Absent = Literal["ignore", "zero"]
Matrix = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


def confusion_matrix(truth: npt.NDArray[np.integer], prediction: npt.NDArray[np.integer], num_classes: int) -> Matrix:
    """Count pixels by true and predicted class. Pixels whose label is 255 are left out.

    Args:
        truth, prediction: class ids of one shape, mostly (H, W), integers.
        num_classes: K.

    Returns:
        (K, K) int64: row = true class, column = predicted class.

    Raises:
        DataError: the shapes differ, or an id lies outside the classes: it would be counted as another class.
    """
    if truth.shape != prediction.shape:
        raise DataError(
            f"a prediction of {prediction.shape} pixels for a label of {truth.shape}; they must be of one size"
        )
    valid = truth != IGNORE_INDEX
    for what, ids in (("label", truth[valid]), ("prediction", prediction[valid])):
        require_ids(what, ids, num_classes)
    index = truth[valid].astype(np.int64) * num_classes + prediction[valid].astype(np.int64)
    return np.bincount(index, minlength=num_classes**2).reshape(num_classes, num_classes)


def require_ids(what: str, ids: npt.NDArray[np.integer], num_classes: int) -> None:
    """Refuse ids outside the classes.

    Raises:
        DataError: naming ``what``, a label or prediction, and its range.
    """
    if ids.size and not 0 <= ids.min() <= ids.max() < num_classes:
        raise DataError(f"a {what} with ids from {ids.min()} to {ids.max()}, expected 0 to {num_classes - 1}")


@dataclass(frozen=True)
class Scores:
    """Scores of one confusion matrix, all in 0..1; NaN for a class without a pixel to judge by.

    Attributes:
        iou: (K,), intersection over union of each class.
        accuracy: (K,), recall of each class: correct pixels over true pixels.
        f1: (K,), F1 of each class, from its pixels.
        miou: mean of ``iou``. A class with neither true nor predicted pixels is left out (``absent="ignore"``) or
            counts as 0 (``absent="zero"``, the convention of RTFNet's and CMNeXt's code).
        pixel_accuracy: correct pixels over all labelled pixels.
    """

    iou: Values
    accuracy: Values
    f1: Values
    miou: float
    pixel_accuracy: float


def scores(matrix: Matrix, absent: Absent = "ignore") -> Scores:
    """Scores of a confusion matrix.

    Args:
        matrix: (K, K), row = true class, column = predicted class.
        absent: see :class:`Scores`.
    """
    correct = np.diag(matrix).astype(np.float64)
    true, predicted = matrix.sum(1).astype(np.float64), matrix.sum(0).astype(np.float64)
    iou = _ratio(correct, true + predicted - correct)
    if absent == "zero":
        iou = np.nan_to_num(iou, nan=0.0)
    miou = float("nan") if np.isnan(iou).all() else float(np.nanmean(iou))
    total = float(true.sum())
    return Scores(
        iou=iou,
        accuracy=_ratio(correct, true),
        f1=_ratio(2 * correct, true + predicted),
        miou=miou,
        pixel_accuracy=float(correct.sum() / total) if total else float("nan"),
    )


def _ratio(numerator: Values, denominator: Values) -> Values:
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0)
