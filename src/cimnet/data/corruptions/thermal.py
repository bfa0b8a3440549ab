"""Corruptions of the thermal image. Its range is 0..1: what the data set's thermal_range makes of the counts."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy import ndimage

from cimnet.data.corruptions.corruption import Context, Corruption, earlier
from cimnet.data.sample import RGBTSample

Array = npt.NDArray[Any]


def thermal_blur(sample: RGBTSample, level: float, context: Context) -> RGBTSample:
    """Out of focus: Gaussian blur, sigma `level` pixels: the thermal failure of the paper's experiments."""
    return _with(sample, ndimage.gaussian_filter(_values(sample), level, mode="nearest"))


def thermal_noise(sample: RGBTSample, level: float, context: Context) -> RGBTSample:
    """Noise that differs from frame to frame: Gaussian, standard deviation `level` per cent of the range (the NETD)."""
    thermal = _values(sample)
    return _with(sample, thermal + context.rng.standard_normal(thermal.shape) * (level / 100))


def fixed_pattern(sample: RGBTSample, level: float, context: Context) -> RGBTSample:
    """Non-uniformity of a microbolometer whose shutter has not closed for long: each pixel has its own gain and its own
    offset, standard deviation `level` per cent, the same for all pairs."""
    thermal = _values(sample)
    gain, offset = context.fixed.standard_normal((2, *thermal.shape)) * (level / 100)
    return _with(sample, thermal * (1 + gain) + offset)


def saturation(sample: RGBTSample, level: float, context: Context) -> RGBTSample:
    """A span set too narrow: `level` per cent of the pixels lie at its ends, cold and hot in random parts."""
    thermal = _values(sample)
    lost = min(level / 100, 1.0)
    cold = lost * context.rng.random()
    low, high = np.quantile(thermal, (cold, 1 - lost + cold))
    return _with(sample, (thermal - low) / max(float(high - low), 1e-6))


def gain_jump(sample: RGBTSample, level: float, context: Context) -> RGBTSample:
    """The automatic gain control jumps, as when something hot enters: contrast about the middle of the range grows or
    falls by the factor 1 + `level` / 100, and a tenth of `level` per cent of the range is added or taken away."""
    up, offset = context.rng.choice((-1, 1), 2)
    factor = float(1 + level / 100) ** int(up)
    return _with(sample, 0.5 + (_values(sample) - 0.5) * factor + int(offset) * level / 1000)


def stripes(sample: RGBTSample, level: float, context: Context) -> RGBTSample:
    """Amplifiers of columns (or, by chance, of rows) drift apart: offsets, standard deviation `level` per cent of the
    range."""
    thermal = _values(sample)
    by_column = context.rng.random() < 0.5
    lines: Array = context.rng.standard_normal((thermal.shape[1 if by_column else 0],)) * (level / 100)
    return _with(sample, thermal + (lines if by_column else lines[:, None]))


def low_resolution(sample: RGBTSample, level: float, context: Context) -> RGBTSample:
    """A sensor with `level` times fewer pixels along each side, enlarged to the size of RGB."""
    height, width = sample.thermal.shape[1:]
    small = (max(round(height / max(level, 1)), 1), max(round(width / max(level, 1)), 1))
    few = F.interpolate(sample.thermal[None], size=small, mode="area")
    return _with(sample, F.interpolate(few, size=(height, width), mode="bilinear", align_corners=False)[0, 0].numpy())


def inversion(sample: RGBTSample, level: float, context: Context) -> RGBTSample:
    """Thermal crossover: at dawn and dusk what was warmer than its surroundings becomes colder. `level` per cent of the
    contrast about the mean is left; below 0 it is inverted."""
    thermal = _values(sample)
    return _with(sample, thermal.mean() + (thermal - thermal.mean()) * (level / 100))


def thermal_dropped(sample: RGBTSample, level: float, context: Context) -> RGBTSample:
    """The camera hangs, or its shutter is closed: it delivers the image of `level` pairs earlier again."""
    return replace(sample, thermal=earlier(sample, "thermal_dropped", level, context).thermal)


def _values(sample: RGBTSample) -> Array:
    return sample.thermal[0].numpy().astype(np.float64)


def _with(sample: RGBTSample, thermal: Array) -> RGBTSample:
    return replace(sample, thermal=torch.from_numpy(np.clip(thermal, 0, 1).astype(np.float32))[None])


CORRUPTIONS: tuple[Corruption, ...] = (
    Corruption("thermal_blur", "thermal", (1, 2, 4, 7, 12), "px sigma", thermal_blur, (0, 1000)),
    Corruption("thermal_noise", "thermal", (1, 3, 6, 12, 20), "% of range", thermal_noise),
    Corruption("fixed_pattern", "thermal", (1, 2, 4, 8, 12), "% of range", fixed_pattern),
    Corruption("saturation", "thermal", (5, 10, 20, 40, 60), "% of pixels", saturation, (0, 100)),
    Corruption("gain_jump", "thermal", (10, 25, 50, 100, 200), "% gain", gain_jump),
    Corruption("stripes", "thermal", (1, 2, 5, 10, 15), "% of range", stripes),
    Corruption("low_resolution", "thermal", (2, 3, 4, 6, 8), "times", low_resolution, (1, math.inf)),
    Corruption("inversion", "thermal", (60, 20, -20, -60, -100), "% contrast", inversion, (-100, 100)),
    Corruption("thermal_dropped", "thermal", (1, 2, 4, 8, 16), "pairs", thermal_dropped, whole=True),
)
