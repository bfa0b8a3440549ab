"""Corruptions of the RGB image. What happens to light before the sensor is computed in linear light; results come in
the 256 steps of an 8-bit camera."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from scipy import ndimage

from cimnet.data.corruptions.corruption import Context, Corruption, earlier
from cimnet.data.sample import RGBTSample

Array = npt.NDArray[Any]
_FULL_WELL = 4000  # electrons of a white pixel of a small camera
_READ_NOISE = 3.0  # electrons
_POINTS_AT_ONCE = 2**20  # of streaks of rain, for memory; more than the strongest severity has at 640×512


def blackout(sample: RGBTSample, level: float, context: Context) -> RGBTSample:
    """A failing link: bands of rows, `level` per cent of all, arrive as 0. At 100 nothing arrives: the RGB failure of
    the paper's experiments."""
    height = sample.rgb.shape[1]
    noise = ndimage.gaussian_filter1d(context.rng.standard_normal(height), max(height / 40, 1))
    rgb = sample.rgb.clone()
    rgb[:, torch.from_numpy(np.argsort(noise)[: round(height * level / 100)])] = 0
    return replace(sample, rgb=rgb)


def low_light(sample: RGBTSample, level: float, context: Context) -> RGBTSample:
    """Under-exposed by `level` stops, with photon and read noise (Foi et al., IEEE TIP 2008)."""
    electrons = _linear(sample.rgb) * (_FULL_WELL * 2.0**-level)
    photon, read = context.rng.standard_normal((2, *electrons.shape))
    # Poisson's quantile at that of a normal number (Cornish and Fisher): the draw does not depend on the level
    counted = np.maximum(np.round(electrons + np.sqrt(electrons) * photon + (photon**2 - 1) / 6), 0)
    return _camera(sample, (counted + _READ_NOISE * read) / _FULL_WELL)


def over_exposure(sample: RGBTSample, level: float, context: Context) -> RGBTSample:
    """Over-exposed by `level` stops: what is brighter than white is cut off."""
    return _camera(sample, _linear(sample.rgb) * 2.0**level)


def glare(sample: RGBTSample, level: float, context: Context) -> RGBTSample:
    """A lamp in the frame: light scattered in the lens, which falls with the square of the distance as in the CIE's
    glare equation (CIE 146:2002), on average `level` per cent of white."""
    height, width = sample.rgb.shape[1:]
    top, left = context.rng.uniform(0.1, 0.9, 2) * (height, width)
    y, x = np.mgrid[:height, :width]
    veil = 1 / (1 + ((y - top) ** 2 + (x - left) ** 2) / (0.1 * max(height, width)) ** 2)
    colour = np.array([1.0, 0.95, 0.85])[:, None, None]
    return _camera(sample, _linear(sample.rgb) + level / 100 * colour / colour.mean() * veil / veil.mean())


def motion_blur(sample: RGBTSample, level: float, context: Context) -> RGBTSample:
    """The camera moves evenly by `level` pixels in a random direction while the shutter is open."""
    angle, reach = context.rng.uniform(0, np.pi), int(np.ceil(level / 2)) + 1
    along = (np.arange(0.5, 8 * reach) / (8 * reach) - 0.5) * level
    kernel = _splat(along * np.sin(angle) + reach, along * np.cos(angle) + reach, (2 * reach + 1, 2 * reach + 1))
    height, width = sample.rgb.shape[1:]
    light = np.pad(_linear(sample.rgb), ((0, 0), (reach, reach), (reach, reach)), "edge")
    blurred = np.zeros(tuple(sample.rgb.shape))
    for down, right in np.argwhere(kernel):
        blurred += kernel[down, right] * light[:, down : down + height, right : right + width]
    return _camera(sample, blurred / kernel.sum())


def rgb_noise(sample: RGBTSample, level: float, context: Context) -> RGBTSample:
    """Gaussian noise, standard deviation `level` of 255 levels, each channel of its own."""
    return _stepped(sample, sample.rgb.numpy() + context.rng.normal(0, 1, tuple(sample.rgb.shape)) * (level / 255))


def fog(sample: RGBTSample, level: float, context: Context) -> RGBTSample:
    """Koschmieder's law I = J t + A (1 − t): t is `level` per cent, its logarithm uneven by up to a quarter; A as
    bright as the brightest hundredth of the image (He et al., CVPR 2009), so fog by night is dark."""
    height, width = sample.rgb.shape[1:]
    uneven = ndimage.gaussian_filter(context.rng.standard_normal((height, width)), min(height, width) / 5)
    uneven -= uneven.mean()
    transmission = np.clip(level / 100, 1e-6, 1) ** (1 + 0.25 * uneven / max(float(np.abs(uneven).max()), 1e-9))
    light = _linear(sample.rgb)
    air = _airlight(light)
    return _camera(sample, air + (light - air) * transmission)


def rain(sample: RGBTSample, level: float, context: Context) -> RGBTSample:
    """`level` streaks in a million pixels, 3 to 10 % of the height long, which let the sky shine in by up to a third
    (Garg and Nayar, IJCV 2007)."""
    height, width = sample.rgb.shape[1:]
    slant = context.rng.uniform(-0.35, 0.35)
    every_drop = context.rng.random((round(level * height * width / 1e6), 5))  # more drops go on where fewer ended
    steps = np.linspace(-0.5, 0.5, max(2, int(0.2 * height)))
    water, at_once = np.zeros((height, width)), max(_POINTS_AT_ONCE // len(steps), 1)
    for first in range(0, len(every_drop), at_once):
        drops = every_drop[first : first + at_once]
        angle = slant + 0.08 * (drops[:, 2, None] - 0.5)
        length = height * (0.03 + 0.07 * drops[:, 3, None])
        y = (drops[:, 0, None] * 1.2 - 0.1) * height + length * steps * np.cos(angle)
        x = (drops[:, 1, None] * 1.2 - 0.1) * width + length * steps * np.sin(angle)
        strength = np.broadcast_to((0.2 + 0.25 * drops[:, 4, None]) * length / len(steps), y.shape)
        water += _splat(y.ravel(), x.ravel(), (height, width), strength.ravel())
    cover = 1 - np.exp(-ndimage.gaussian_filter(water, 0.5))
    light = _linear(sample.rgb)
    return _camera(sample, light + (np.maximum(_airlight(light), light) - light) * cover)


def jpeg(sample: RGBTSample, level: float, context: Context) -> RGBTSample:
    """Stored as JPEG of quality `level`."""
    pixels = np.round(sample.rgb.permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=min(max(round(level), 1), 100))
    with Image.open(file) as image:
        return _stepped(sample, np.asarray(image, np.float32).transpose(2, 0, 1) / 255)


def rgb_dropped(sample: RGBTSample, level: float, context: Context) -> RGBTSample:
    """The camera hangs and delivers the image of `level` pairs earlier again."""
    return replace(sample, rgb=earlier(sample, "rgb_dropped", level, context).rgb)


def _linear(rgb: torch.Tensor) -> Array:
    """Linear light of sRGB values (IEC 61966-2-1)."""
    values = rgb.numpy().astype(np.float64)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _camera(sample: RGBTSample, light: Array) -> RGBTSample:
    """Linear light, cut off at black and white, as sRGB."""
    light = np.clip(light, 0, 1)
    return _stepped(sample, np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055))


def _stepped(sample: RGBTSample, rgb: Array) -> RGBTSample:
    steps = np.round(np.clip(rgb, 0, 1) * 255).astype(np.float32)
    return replace(sample, rgb=torch.from_numpy(np.ascontiguousarray(steps)).div_(255))


def _airlight(light: Array) -> float:
    """Grey, since fog and drops scatter all colours alike."""
    return float(np.quantile(light.mean(0), 0.99))


def _splat(y: Array, x: Array, size: tuple[int, int], weights: Array | None = None) -> Array:
    """Points drawn into an image, each shared by its four neighbours; those outside are lost."""
    image = np.zeros(size)
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        row, column = top + down, left + right
        share = (1 - np.abs(y - row)) * (1 - np.abs(x - column)) * (1 if weights is None else weights)
        inside = (row >= 0) & (row < size[0]) & (column >= 0) & (column < size[1])
        np.add.at(image, (row[inside], column[inside]), share[inside])
    return image


CORRUPTIONS: tuple[Corruption, ...] = (
    Corruption("blackout", "rgb", (20, 40, 60, 80, 100), "% of rows", blackout, (0, 100)),
    Corruption("low_light", "rgb", (1, 2, 3, 4, 5), "EV", low_light, (0, 30)),
    Corruption("over_exposure", "rgb", (0.5, 1, 1.5, 2, 3), "EV", over_exposure, (0, 30)),
    Corruption("glare", "rgb", (2, 5, 10, 20, 40), "% of white", glare, (0, 10_000)),
    Corruption("motion_blur", "rgb", (3, 6, 10, 15, 25), "px", motion_blur, (0, 1000)),
    Corruption("rgb_noise", "rgb", (5, 10, 20, 35, 50), "of 255", rgb_noise),
    Corruption("fog", "rgb", (80, 60, 40, 25, 10), "% transmission", fog, (0, 100)),
    Corruption("rain", "rgb", (1000, 2500, 5000, 10000, 20000), "streaks/Mpx", rain, (0, 1_000_000)),
    Corruption("jpeg", "rgb", (60, 40, 25, 12, 5), "quality", jpeg, (1, 100), whole=True),
    Corruption("rgb_dropped", "rgb", (1, 2, 4, 8, 16), "pairs", rgb_dropped, whole=True),
)
