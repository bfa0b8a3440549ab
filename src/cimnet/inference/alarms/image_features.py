"""Measurements of an image and of a pair that change when a sensor fails or a pair is shifted."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from cimnet.ops.edges import blur, correlation, orientation, sharpness

WIDTH = 160  # pixels: pairs are compared at this width or their own
REACH = 0.05  # of the width: how far the best offset is sought
TILES = 4  # along each side: parts that may have an offset of their own
FAR = 1 / 90  # of the width: a part has moved
_TINY = 1e-3


def rgb_stats(rgb: Tensor) -> dict[str, float]:
    """Numbers of an RGB image (3, H, W) in 0..1, all finite: those of its grey values, and four of its colours."""
    darkest, lightest = rgb.amin(0), rgb.amax(0)
    numbers = _grey_stats(rgb.mean(0)) | {
        "colour": float((lightest - darkest).mean()),
        "veil": float(_quantile(darkest, 0.02)),
        "blocks": _blocks(rgb.mean(0)),
    }
    return {f"rgb_{name}": value for name, value in numbers.items()}


def thermal_stats(thermal: Tensor) -> dict[str, float]:
    """Numbers of a thermal image (1, H, W) in 0..1, all finite."""
    return {f"thermal_{name}": value for name, value in _grey_stats(thermal[0]).items()}


def pair_stats(rgb: Tensor, thermal: Tensor) -> dict[str, float]:
    """Measure how well the structure of both images (3, H, W) and (1, H, W) agrees; all numbers are finite.

    `agreement` of the whole at no offset, `gain` by the best whole offset within `REACH`, and that offset's length,
    `shift`, in thousandths of the width; the mean gain of `TILES` by `TILES` parts by an offset of their own,
    `local_gain`, and the share of parts whose offset is longer than `FAR`, `local_shift`.
    """
    size = _small(rgb.shape[-2], rgb.shape[-1])
    maps = [orientation(F.interpolate(x[None], size, mode="bilinear", antialias=True), 1.0) for x in (rgb, thermal)]
    here, gain, shift = _offset(maps[0], maps[1], size[1])
    parts = [_offset(a, b, size[1]) for a, b in zip(_tiles(maps[0]), _tiles(maps[1]), strict=True)]
    return {
        "agreement": here,
        "gain": gain,
        "shift": 1000 * shift,
        "local_gain": sum(part[1] for part in parts) / len(parts),
        "local_shift": sum(part[2] > FAR for part in parts) / len(parts),
    }


def _offset(rgb: Tensor, thermal: Tensor, width: int) -> tuple[float, float, float]:
    """Compare two maps (1, 2, h, w): correlation at no offset, gain by the best offset, its length over `width`."""
    reach = min(max(1, round(REACH * width)), min(rgb.shape[-2:]) // 2)
    surface = correlation(rgb, thermal, reach)
    best, side = int(surface.argmax()), 2 * reach + 1
    here = float(surface[reach, reach])
    return here, float(surface.max()) - here, math.hypot(best // side - reach, best % side - reach) / width


def _tiles(maps: Tensor) -> list[Tensor]:
    """Parts of maps (1, 2, h, w), each at least one pixel high and wide."""
    rows = [part for part in maps.tensor_split(TILES, dim=2) if part.shape[2]]
    return [part for row in rows for part in row.tensor_split(TILES, dim=3) if part.shape[3]]


def _small(height: int, width: int) -> list[int]:
    shrink = min(1.0, WIDTH / width)
    return [max(1, round(height * shrink)), max(1, round(width * shrink))]


def _grey_stats(grey: Tensor) -> dict[str, float]:
    low, high = float(grey.min()), float(grey.max())
    margin = (high - low) / 128
    return {
        "brightness": float(grey.mean()),
        "contrast": _log(float(grey.std(correction=0))),
        "at_low": float((grey <= low + margin).float().mean()),
        "at_high": float((grey >= high - margin).float().mean()),
        "sharpness": _log(sharpness(grey[None, None]) if grey.numel() > 1 else 0.0),
        "noise": _log(_noise(grey)),
        "pattern": _pattern(grey),
        "direction": _direction(grey),
    }


def _log(value: float) -> float:
    return math.log(max(value, 0.0) + _TINY)


def _noise(grey: Tensor) -> float:
    """Standard deviation of noise: the median of what Immerkær's mask (1996), blind to edges, leaves of each pixel."""
    mask = grey.new_tensor([[1.0, -2, 1], [-2, 4, -2], [1, -2, 1]]) / 6
    left = F.conv2d(F.pad(grey[None, None], (1, 1, 1, 1), mode="replicate"), mask[None, None])
    return float(left.abs().median()) / 0.6745


def _pattern(grey: Tensor) -> float:
    """Compare the differences of whole rows or columns from their neighbours with those of single pixels: about 0
    without a pattern, as a logarithm."""
    fine = grey - blur(grey[None, None], 2.0)[0, 0]
    spread = float(fine.std(correction=0)) + _TINY
    lines = [float(fine.mean(axis).std(correction=0)) * math.sqrt(grey.shape[axis]) / spread for axis in (0, 1)]
    return math.log(max(lines) + 0.1)


def _direction(grey: Tensor) -> float:
    """Compare the gradients along both axes, as a logarithm: motion blur makes one axis weaker."""
    steps = [float(d.square().mean()) if d.numel() else 0.0 for d in (grey.diff(dim=0), grey.diff(dim=1))]
    return abs(math.log((steps[0] + _TINY**2) / (steps[1] + _TINY**2)))


def _blocks(grey: Tensor) -> float:
    """How much larger steps across the borders of 8 by 8 blocks are than elsewhere, as a logarithm: JPEG."""
    ratios = []
    for steps in (grey.diff(dim=0).abs().mean(1), grey.diff(dim=1).abs().mean(0)):
        at = steps[7::8]
        if len(at):
            ratios.append((float(at.mean()) + _TINY) / (float(steps.mean()) + _TINY))
    return math.log(sum(ratios) / len(ratios)) if ratios else 0.0


def _quantile(values: Tensor, share: float) -> Tensor:
    flat = values.flatten()
    return flat.kthvalue(max(1, round(share * flat.numel()))).values
