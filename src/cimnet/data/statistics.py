"""Figures about the thermal images of a data set, from an evenly spaced part of it."""

from __future__ import annotations

import numpy as np

from cimnet.data.dataset import RGBTDataset
from cimnet.errors import DataError
from cimnet.utils.numbers import spread_evenly


def thermal_statistics(dataset: RGBTDataset, max_samples: int = 200) -> tuple[float, float]:
    """Mean and standard deviation of the thermal values in 0..1, over the pixels of up to `max_samples`
    pairs.

    Pairs whose thermal image is flagged as broken are left out; the transform is not applied.
    """
    total = squares = 0.0
    pixels = 0
    for index in _spread(dataset, max_samples):
        pair = dataset.pairs[index]
        values = dataset.scaling(dataset.arrays(index).thermal, pair.thermal or pair.rgb)
        total += float(values.sum(dtype=np.float64))
        squares += float(np.square(values, dtype=np.float64).sum())
        pixels += values.size
    mean = total / pixels
    return mean, max(squares / pixels - mean * mean, 0.0) ** 0.5


def suggest_thermal_range(
    dataset: RGBTDataset, max_samples: int = 50, percentiles: tuple[float, float] = (0.1, 99.9)
) -> tuple[float, float]:
    """(low, high) in raw counts: the lowest and highest of these percentiles over up to `max_samples` images.

    Raw 16-bit counts of a scene fill a few per cent of 0..65535: use this as `thermal_range`, from the
    training split, unless the camera's range is known.

    Raises:
        DataError: all thermal images have one constant value.
    """
    ends = [np.percentile(dataset.arrays(index).thermal, percentiles) for index in _spread(dataset, max_samples)]
    low, high = min(float(end[0]) for end in ends), max(float(end[1]) for end in ends)
    if not np.isfinite((low, high)).all():
        raise DataError(f"{dataset.root}: thermal values that are not finite (NaN or infinite); fill them first")
    if not low < high:
        raise DataError(f"{dataset.root}: the thermal images are constant ({low:g}); no range to suggest")
    return low, high


def _spread(dataset: RGBTDataset, count: int) -> list[int]:
    """Up to `count` evenly spaced indices of pairs with sound thermal images (all, when none is)."""
    sound = [index for index, flags in enumerate(dataset.flags) if "thermal_broken" not in flags]
    indices = sound or list(range(len(dataset)))
    return [indices[position] for position in spread_evenly(len(indices), count)]
