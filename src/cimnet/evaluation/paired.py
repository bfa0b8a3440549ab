"""Two models on the same images: the difference of their scores, and how far the choice of images moves it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, stdtrit

from cimnet.errors import DataError
from cimnet.evaluation.metrics import Values
from cimnet.utils.numbers import pluralize

Matrices = npt.NDArray[np.number]

FEW_GROUPS = 20
"""With fewer groups an interval is a rough guide."""
_BLOCK = 1000  # draws at a time, so that many groups and classes need little memory


@dataclass(frozen=True)
class PairedDifference:
    """Outcome of :func:`paired_difference`, scores in 0..1.

    Attributes:
        first, second: pooled mIoU of each model.
        low, high: ends of the interval of ``second - first``.
        confidence: probability of the interval, 0.95 for 95 %.
        groups: number of groups that were drawn from.
        better, worse: number of groups in which the second model scores higher, and lower.
    """

    first: float
    second: float
    low: float
    high: float
    confidence: float
    groups: int
    better: int
    worse: int

    @property
    def difference(self) -> float:
        """Pooled mIoU of the second model less that of the first."""
        return self.second - self.first

    @property
    def warning(self) -> str | None:
        """A sentence where there are too few groups to trust the interval."""
        if self.groups >= FEW_GROUPS:
            return None
        return (
            f"With {self.groups} groups, fewer than {FEW_GROUPS}, the interval is a rough guide: an interval that "
            "barely excludes 0 is no evidence."
        )


def expanded_percentiles(groups: int, confidence: float = 0.95) -> tuple[float, float]:
    """The percentiles of bootstrap draws at which an interval ends, widened for few groups.

    Plain percentiles (2.5 and 97.5 for 95 %) give too narrow an interval: draws vary less than the groups by a factor
    of √((G - 1) / G), and a normal quantile stands where that of Student's t with G - 1 degrees of freedom belongs.
    Both are corrected (Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician 69, 2015,
    section 5.3, "expanded percentile interval").

    Args:
        groups: number of groups that are drawn from, G, at least 2.
        confidence: probability of the interval, above 0 and below 1.

    Returns:
        The lower and the upper percentile, 0..100.
    """
    quantile = stdtrit(groups - 1, (1 - confidence) / 2) * math.sqrt(groups / (groups - 1))
    tail = 100 * float(ndtr(quantile))
    return tail, 100 - tail


def paired_difference(
    first: Matrices,
    second: Matrices,
    groups: Sequence[str],
    *,
    confidence: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
) -> PairedDifference:
    """Compare the pooled mIoU of two models on the same images by a bootstrap over groups of images.

    Groups (sequences, scenes, arrangements) are drawn with replacement, the same ones for both models. Each draw gives
    a difference of the two mIoU over all images of the drawn groups; the interval reaches from one percentile of these
    differences to the other (see :func:`expanded_percentiles`). Images of one group are alike, so drawing single images
    would give an interval that is too narrow. With fewer than about 20 groups, or groups of very different size, the
    interval is still somewhat too narrow.

    The pooled mIoU follows the rule of :func:`cimnet.evaluation.scores`: a class with neither true nor predicted pixels
    is left out, and a class that is predicted and has no true pixel counts as 0. A draw or a group may miss the true
    pixels of a class that other images have. That says nothing about a model, so the class is then left out for both.

    Args:
        first, second: (images, K, K), confusion matrices of each image by the two models, row = true class; floats if
            runs were averaged.
        groups: name of the group of each image.
        confidence: probability of the interval, above 0 and below 1.
        draws: number of draws.
        seed: seed of the random draws.

    Raises:
        DataError: the shapes differ, the models saw different labels, there are fewer than two groups, or no pixel is
            labelled.
    """
    if first.shape != second.shape or first.ndim != 3 or len(groups) != len(first):
        raise DataError(
            f"matrices of shape {first.shape} and {second.shape} for {pluralize(len(groups), 'group')} of images "
            "cannot be paired"
        )
    if not np.allclose(first.sum(2), second.sum(2)):
        raise DataError("the true pixels of the classes differ between the two; score both on the same labels")
    names = sorted(set(groups))
    if len(names) < 2:
        raise DataError(f"all images are of one group ({', '.join(names)}); a comparison needs at least two groups")
    number_of = {name: number for number, name in enumerate(names)}
    rows = [number_of[group] for group in groups]
    counts = [_by_group(matrices, rows, len(names)) for matrices in (first, second)]
    absent = counts[0][:, 1].sum(0) == 0
    pooled = [float(_miou(count.sum(0), absent)) for count in counts]
    if np.isnan(pooled).any():
        raise DataError("no image has a labelled pixel; there is nothing to compare")
    random = np.random.default_rng(seed)
    found = []
    for start in range(0, draws, _BLOCK):
        times = random.multinomial(len(names), np.full(len(names), 1 / len(names)), min(_BLOCK, draws - start))
        drawn = [_miou(np.tensordot(times, count, 1), absent) for count in counts]
        found.append(drawn[1] - drawn[0])
    low, high = np.nanpercentile(np.concatenate(found), expanded_percentiles(len(names), confidence))
    by_group = _miou(counts[1], absent) - _miou(counts[0], absent)
    better, worse = int((by_group > 0).sum()), int((by_group < 0).sum())
    return PairedDifference(pooled[0], pooled[1], float(low), float(high), confidence, len(names), better, worse)


def _by_group(matrices: Matrices, rows: Sequence[int], groups: int) -> Values:
    """Sum the pixels that mIoU needs, (groups, 3, K): correct, true and predicted ones of each class."""
    parts = (np.diagonal(matrices, axis1=1, axis2=2), matrices.sum(2), matrices.sum(1))
    total = np.zeros((groups, 3, matrices.shape[1]))
    np.add.at(total, rows, np.stack(parts, axis=1).astype(np.float64))
    return total


def _miou(counts: Values, absent: npt.NDArray[np.bool_]) -> Values:
    """Mean IoU of counts (…, 3, K) over the classes with true pixels and, of the classes that are ``absent`` from all
    images (K,), over those that are predicted; NaN where there are none."""
    correct, true, predicted = np.moveaxis(counts, -2, 0)
    union = true + predicted - correct
    judged = (true > 0) | (absent & (union > 0))
    iou = np.divide(correct, union, out=np.zeros_like(correct), where=judged)
    number = judged.sum(-1)
    return np.divide(iou.sum(-1), number, out=np.full(number.shape, np.nan), where=number > 0)
