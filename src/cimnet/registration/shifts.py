"""Scores of all shifts of a part of an image, and the best of them."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Peak(NamedTuple):
    """The highest score.

    Attributes:
        height: the score itself.
        rest: the highest score away from it.
        shift: (dx, dy) in pixels; None at the edge of what was searched, beyond which there may be higher ones.
    """

    height: float
    rest: float
    shift: tuple[float, float] | None


def masked_correlation(rgb: torch.Tensor, thermal: torch.Tensor, mask: torch.Tensor, reach: int) -> torch.Tensor:
    """Correlate like `cimnet.ops.edges.correlation`, with the thermal map's energy taken under the shifted mask (H,
    W)."""
    size = [2 * length for length in mask.shape]
    spectrum = (torch.fft.rfft2(thermal, s=size) * torch.fft.rfft2(rgb, s=size).conj()).sum((0, 1))
    power = torch.fft.rfft2((thermal**2).sum((0, 1)), s=size) * torch.fft.rfft2(mask, s=size).conj()
    norm = (torch.fft.irfft2(power, s=size).clamp_min(0) * (rgb**2).sum()).sqrt() + 0.05 * (rgb**2).sum() + 1e-6
    picked = torch.arange(-reach, reach + 1)
    return (torch.fft.irfft2(spectrum, s=size) / norm)[picked][:, picked]


def find_peak(scores: torch.Tensor, width: int) -> Peak:
    """The peak of scores of all shifts up to a reach, (2·reach + 1, 2·reach + 1).

    Args:
        width: pixels to each side that belong to a peak.
    """
    last = len(scores) - 1
    y, x = divmod(int(scores.argmax()), last + 1)
    rest = scores.clone()
    rest[max(0, y - width) : y + width + 1, max(0, x - width) : x + width + 1] = -1
    shift = None
    if min(x, y) > 0 and max(x, y) < last:
        dx, dy = _vertex(scores[y, x - 1 : x + 2]), _vertex(scores[y - 1 : y + 2, x])
        shift = x - last // 2 + dx, y - last // 2 + dy
    return Peak(float(scores[y, x]), float(rest.max()), shift)


def _vertex(values: torch.Tensor) -> float:
    """Return the peak of the parabola through three neighbours, -0.5..0.5 from the middle one."""
    before, middle, after = (float(v) for v in values)
    bend = before - 2 * middle + after
    return 0.0 if bend >= 0 else max(-0.5, min(0.5, 0.5 * (before - after) / bend))
