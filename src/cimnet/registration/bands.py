"""Offsets that one matrix for the cameras leaves, by height in the image: where distances differ, so do offsets."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch

from cimnet.ops.edges import orientation
from cimnet.registration.matrices import Matrix, compose, resize, warp
from cimnet.registration.prepare import Images
from cimnet.registration.shifts import find_peak, masked_correlation

BANDS = 6
REACH = 16
"""Pixels within which the rest is looked for."""
NOTABLE = 1.5
"""Pixels that are worth a word."""
_SIGMA = 2.5  # wide: thermal images that were sharpened have edges of two lines, either of which may match a narrow one
_LEAST = 0.1  # mean correlation of a peak; noise stays below
_AHEAD = 0.01  # by which a peak is above all others
_PEAK = 6  # pixels that belong to a peak


@dataclass(frozen=True)
class BandOffset:
    """The offset of the thermal image from the RGB image that the matrix leaves in a band of rows.

    Attributes:
        top, bottom: first and last row of the RGB image.
        dx, dy: offset of what most of its edges belong to, in RGB pixels, thermal minus RGB position; None where
            nothing is to be seen.
    """

    top: int
    bottom: int
    dx: float | None
    dy: float | None


def band_offsets(images: Images | None, matrix: Matrix) -> list[BandOffset]:
    """The offsets that pairs of the same cameras have in common in bands of rows, beside those of their matrix.

    The edges of each band are correlated with those around them in the thermal image, summed over the pairs.

    Args:
        images: the pairs, as `prepare` gives them.
        matrix: from `align_rig`.

    Returns:
        `BANDS` bands, from top to bottom; none where no pair tells anything.
    """
    if images is None:
        return []
    height, width = images.rgb.shape[-2:]
    work, full = (height, width), images.full
    at_size = compose(np.linalg.inv(np.vstack([images.back, [0, 0, 1]]))[:2], matrix)
    moved, inside = warp(images.thermal, compose(compose(resize(full, work), at_size), resize(work, full)), work)
    rgb, thermal = orientation(images.rgb, _SIGMA), orientation(moved, _SIGMA) * inside
    edges = np.linspace(0, height, BANDS + 1).round().astype(int).tolist()
    scale = full[0] / height
    found = []
    for top, bottom in itertools.pairwise(edges):
        dx, dy = _peak(_correlate(rgb, thermal, top, bottom))
        left = None if dx is None else dx * scale
        found.append(
            BandOffset(round(top * scale), round(bottom * scale) - 1, left, None if dy is None else dy * scale)
        )
    return found


def _correlate(rgb: torch.Tensor, thermal: torch.Tensor, top: int, bottom: int) -> torch.Tensor:
    """Mean over the pairs of what the rows of a band say of every shift within `REACH`."""
    rows = slice(max(0, top - REACH), bottom + REACH)
    mask = torch.zeros(rgb.shape[-2:])
    mask[top:bottom] = 1
    mask = mask[rows]
    scores = [
        masked_correlation(one[None, :, rows] * mask, other[None, :, rows], mask, REACH)
        for one, other in zip(rgb, thermal, strict=True)
    ]
    return torch.stack(scores).mean(0)


def _peak(scores: torch.Tensor) -> tuple[float | None, float | None]:
    """(dx, dy) of the highest score, if it is one."""
    peak = find_peak(scores, _PEAK)
    if peak.shift is None or peak.height < _LEAST or peak.height - peak.rest < _AHEAD:
        return None, None
    return peak.shift
