"""Statistics of the thermal images of a data set, from an evenly spaced sample."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cimnet.data.dataset import RGBTDataset
from cimnet.errors import DataError
from cimnet.utils.numbers import spread_evenly


class ThermalStatistics(NamedTuple):
    """Mean and standard deviation of the values in 0..1; of a second image of several channels, one of each for each
    channel."""

    mean: float | tuple[float, ...]
    std: float | tuple[float, ...]


def thermal_statistics(dataset: RGBTDataset, max_samples: int = 200) -> ThermalStatistics:
    """Mean and standard deviation of a data set's thermal values, to normalise them in the model. Missing pixels count
    as 0, which the model sees there.

    Args:
        dataset: pairs to look at. Those whose thermal image is flagged as broken are left out; the transform is not
            applied.
        max_samples: largest number of pairs that are read.

    Returns:
        ``mean`` and ``std`` in 0..1; of second images of several channels, one of each for each channel.
    """
    total = squares = np.zeros(dataset.second.channels)
    pixels = 0
    for index in _spread(dataset, max_samples):
        pair = dataset.pairs[index]
        values = dataset.scaling(dataset.arrays(index).thermal, pair.thermal or pair.rgb)
        total = total + values.sum((0, 1), dtype=np.float64)
        squares = squares + np.square(values, dtype=np.float64).sum((0, 1))
        pixels += values.shape[0] * values.shape[1]
    mean = total / pixels
    std = np.sqrt(np.maximum(squares / pixels - mean * mean, 0.0))
    if len(mean) == 1:
        return ThermalStatistics(float(mean[0]), float(std[0]))
    return ThermalStatistics(tuple(mean.tolist()), tuple(std.tolist()))


def suggest_thermal_range(
    dataset: RGBTDataset, max_samples: int = 50, percentiles: tuple[float, float] = (0.1, 99.9)
) -> tuple[float, float]:
    """Suggest a ``thermal_range`` for :func:`cimnet.open_dataset`.

    The 16-bit counts of one scene fill a few per cent of 0..65535. Take this range, from the training split, unless you
    know the camera's.

    Args:
        dataset: pairs to look at; their own range is not used.
        max_samples: largest number of pairs that are read.
        percentiles: two percentiles, 0..100, of each image's values.

    Returns:
        (low, high) in raw counts: the lowest and the highest of these percentiles over all images and channels.

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
