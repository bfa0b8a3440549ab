"""Receiver operating characteristic of an alarm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def roc(scores: Sequence[float], truth: Sequence[bool]) -> tuple[Array, Array]:
    """Share of false and of true alarms as the threshold falls, both from 0 to 1; equal scores are one step.

    If no case is negative, or none is positive, the respective share is NaN.
    """
    values, true = np.asarray(scores, np.float64), np.asarray(truth, np.bool_)
    order = np.argsort(-values, kind="stable")
    values, true = values[order], true[order]
    last = np.append(np.flatnonzero(np.diff(values)), len(values) - 1) if len(values) else np.zeros(0, np.int64)
    with np.errstate(invalid="ignore"):
        rising = [np.concatenate([[0], kind.cumsum()[last]]) / np.float64(kind.sum()) for kind in (~true, true)]
    return rising[0], rising[1]


def auc(scores: Sequence[float], truth: Sequence[bool]) -> float:
    """Area below :func:`roc`: the chance that a true case scores higher than a false one, ties half; NaN if either kind
    is missing."""
    if not len(scores):
        return float("nan")
    false, true = roc(scores, truth)
    return float(((true[1:] + true[:-1]) / 2 * np.diff(false)).sum())
