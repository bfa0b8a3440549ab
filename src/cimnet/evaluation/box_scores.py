"""Scores of masks against boxes: which objects are found, and how much of a class is predicted where none is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cimnet.data.boxes import PairBox
from cimnet.evaluation.metrics import require_ids
from cimnet.evaluation.paired import expanded_percentiles

Ids = npt.NDArray[np.integer]
Counts = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
_NORMAL = 1.959964  # 97.5 % quantile of the standard normal distribution


@dataclass(frozen=True)
class JudgedObject:
    """One object and the share of its box, 0..1, that is predicted as its class."""

    class_id: int
    seen_in: str
    share: float


@dataclass(frozen=True)
class JudgedImage:
    """The comparison of one mask with the boxes of its image.

    Attributes:
        objects: all that are scored.
        predicted: pixels predicted as each class, (K,), without those in regions that are not scored.
        inside: of them, those inside any box of their class, (K,). Where boxes overlap, a pixel counts once.
    """

    id: str
    scene: str
    objects: tuple[JudgedObject, ...]
    predicted: Counts
    inside: Counts


def judge_image(mask: Ids, boxes: Sequence[PairBox], classes: int, *, id: str = "", scene: str = "") -> JudgedImage:
    """Compare a mask with the boxes of its image.

    Each box is judged for itself: pixels that belong to two boxes of a class count in both. A pixel in a region that is
    not scored counts only if it also lies in a box of its class.

    Args:
        mask: class ids (H, W).
        boxes: of the image, in its pixels; none: it has no object, and all that is predicted lies outside.
        classes: number of classes.

    Raises:
        DataError: an id outside the classes.
    """
    require_ids("prediction", mask, classes)
    predicted, inside = np.bincount(mask.ravel(), minlength=classes).astype(np.int64), np.zeros(classes, np.int64)
    ignored = _union(mask, [box for box in boxes if box.class_id is None])
    objects = []
    for k in range(classes) if ignored.any() else sorted({box.class_id for box in boxes if box.class_id is not None}):
        mine = [box for box in boxes if box.class_id == k]
        scored = [box for box in mine if not box.ignore]
        of_class, covered = mask == k, _union(mask, scored)
        hidden = (ignored | _union(mask, [box for box in mine if box.ignore])) & ~covered
        predicted[k], inside[k] = (of_class & ~hidden).sum(), (of_class & covered).sum()
        objects += [JudgedObject(k, box.seen_in, float(of_class[box.rect.pixels].mean())) for box in scored]
    return JudgedImage(id, scene, tuple(objects), predicted, inside)


def _union(mask: Ids, boxes: Sequence[PairBox]) -> npt.NDArray[np.bool_]:
    """Mark the pixels in any of the boxes, (H, W)."""
    covered = np.zeros(mask.shape, dtype=bool)
    for box in boxes:
        covered[box.rect.pixels] = True
    return covered


@dataclass(frozen=True)
class Ratio:
    """A share of counts over images, with its 95 % interval.

    Attributes:
        hits, total: the counts.
        interval: by bootstrap over images, since objects and pixels of one image are not independent, widened where few
            images hold any (:func:`cimnet.evaluation.paired.expanded_percentiles`). With fewer than five such images no
            bootstrap reaches 95 %. Where that has no width (all or none are hits, or one image holds all), that of
            Wilson, which takes them as independent. None where there is nothing to count.
        wilson: that of Wilson in any case, for comparison. None for pixels, which are far from independent.
    """

    hits: int
    total: int
    interval: tuple[float, float] | None
    wilson: tuple[float, float] | None

    @property
    def value(self) -> float:
        """The share, 0..1; NaN where there is nothing to count."""
        return self.hits / self.total if self.total else math.nan


def wilson_interval(hits: int, total: int) -> tuple[float, float] | None:
    """Wilson's 95 % interval of a binomial share (Wilson, JASA 22, 1927); None for no trial."""
    if not total:
        return None
    share, squared = hits / total, _NORMAL**2
    middle = (share + squared / (2 * total)) / (1 + squared / total)
    half = _NORMAL / (1 + squared / total) * math.sqrt(share * (1 - share) / total + squared / (4 * total**2))
    return (middle - half if hits else 0.0), (middle + half if hits < total else 1.0)


class ImageBootstrap:
    """Draws of images with replacement, the same ones for every ratio, so that ratios can be compared.

    Args:
        images: how many there are.
        draws, seed: how often they are drawn, and the seed of the draws.
    """

    def __init__(self, images: int, draws: int = 2000, seed: int = 0) -> None:
        chance = np.full(images, 1 / max(images, 1))
        self.weights = np.random.default_rng(seed).multinomial(images, chance, size=draws) if images else None

    def ratio(self, hits: Counts, total: Counts, *, independent: bool) -> Ratio:
        """The ratio of the sums of two counts by image, (N,) each.

        Args:
            independent: whether Wilson's interval makes sense: counts of objects, not of pixels.
        """
        all_hits, all_total = int(hits.sum()), int(total.sum())
        wilson = wilson_interval(all_hits, all_total) if independent else None
        if self.weights is None or not all_total:
            return Ratio(all_hits, all_total, None, wilson)
        totals = self.weights @ total
        holding = int((total > 0).sum())
        if holding < 2:
            return Ratio(all_hits, all_total, wilson, wilson)
        shares: Values = (self.weights @ hits)[totals > 0] / totals[totals > 0]
        low, high = np.percentile(shares, expanded_percentiles(holding))
        return Ratio(all_hits, all_total, wilson if low == high else (float(low), float(high)), wilson)

    def difference(self, first: Values, second: Values, total: Counts) -> tuple[float, float] | None:
        """95 % interval of how much larger the share of one model is than that of another on the same objects.

        Both see the same draws of images, so what makes an image hard for both does not widen the interval. It is
        widened where few images hold objects, see :func:`cimnet.evaluation.paired.expanded_percentiles`.

        Args:
            first, second: hits of each model by image, (N,); means over seeds where there are several.
            total: objects by image, (N,).

        Returns:
            The ends of the interval of ``second - first``, in -1..1; None where fewer than two images hold an object.
        """
        holding = int((total > 0).sum())
        if self.weights is None or holding < 2:
            return None
        totals = self.weights @ total
        change = (self.weights @ (second - first))[totals > 0] / totals[totals > 0]
        low, high = np.percentile(change, expanded_percentiles(holding))
        return float(low), float(high)


__all__ = ["ImageBootstrap", "JudgedImage", "JudgedObject", "Ratio", "judge_image", "wilson_interval"]
