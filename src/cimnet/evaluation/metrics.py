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
    """Count pixels: row = true class, column = predicted class, (K, K). Pixels whose truth is 255 are left out.

    Raises:
        DataError: the two have different sizes, or one has an id outside the classes, which would count as another.
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
    """Scores of one confusion matrix, all in 0..1; NaN where a class has no pixel to judge by.

    Attributes:
        iou, accuracy, f1: per class (K,); accuracy is the recall, true positives over true pixels.
        miou: mean IoU over the classes. A class absent from truth *and* prediction is left out (``absent="ignore"``)
            or counts as 0 (``absent="zero"``, the convention of RTFNet's and CMNeXt's code).
        pixel_accuracy: correct pixels over all labelled pixels.
    """

    iou: Values
    accuracy: Values
    f1: Values
    miou: float
    pixel_accuracy: float


def scores(matrix: Matrix, absent: Absent = "ignore") -> Scores:
    """Scores of a confusion matrix (K, K), rows truth, columns prediction."""
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
