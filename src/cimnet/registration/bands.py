"""Offsets that the matrices of pairs leave, by height in the image: where distances differ, so do offsets."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
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
    """The offset of the thermal image from the RGB image that its matrix leaves in a band of rows.

    Attributes:
        top, bottom: first and last row of the RGB image.
        dx, dy: offset of what most of its edges belong to, in RGB pixels, thermal minus RGB position; None where
            nothing is to be seen.
    """

    top: int
    bottom: int
    dx: float | None
    dy: float | None


def band_offsets(groups: Iterable[tuple[Images | None, Matrix]]) -> list[BandOffset]:
    """The offsets that pairs have in common in bands of rows, beside those of their matrices.

    The edges of each band are correlated with those around them in the thermal image, summed over the pairs.

    Args:
        groups: pairs as `prepare` gives them, and the matrix of each group. Groups whose RGB images have another size
            than those of the first are left out.

    Returns:
        `BANDS` bands, from top to bottom; none where no pair tells anything.
    """
    known = [(images, matrix) for images, matrix in groups if images is not None]
    if not known:
        return []
    full, height = known[0][0].full, known[0][0].rgb.shape[-2]
    pairs = [pair for images, matrix in known if images.full == full for pair in _edges(images, matrix)]
    edges = np.linspace(0, height, BANDS + 1).round().astype(int).tolist()
    scale = full[0] / height
    found = []
    for top, bottom in itertools.pairwise(edges):
        dx, dy = _peak(_correlate(pairs, top, bottom))
        left = None if dx is None else dx * scale
        found.append(
            BandOffset(round(top * scale), round(bottom * scale) - 1, left, None if dy is None else dy * scale)
        )
    return found


def _edges(images: Images, matrix: Matrix) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
    """The edges of each RGB image, and those of its thermal image moved by the matrix, at the working size."""
    height, width = images.rgb.shape[-2:]
    work, full = (height, width), images.full
    at_size = compose(np.linalg.inv(np.vstack([images.back, [0, 0, 1]]))[:2], matrix)
    moved, inside = warp(images.thermal, compose(compose(resize(full, work), at_size), resize(work, full)), work)
    return zip(orientation(images.rgb, _SIGMA), orientation(moved, _SIGMA) * inside, strict=True)


def _correlate(pairs: Sequence[tuple[torch.Tensor, torch.Tensor]], top: int, bottom: int) -> torch.Tensor:
    """Mean over the pairs of what the rows of a band say of every shift within `REACH`."""
    rows = slice(max(0, top - REACH), bottom + REACH)
    mask = torch.zeros(pairs[0][0].shape[-2:])
    mask[top:bottom] = 1
    mask = mask[rows]
    scores = [masked_correlation(one[None, :, rows] * mask, other[None, :, rows], mask, REACH) for one, other in pairs]
    return torch.stack(scores).mean(0)


def _peak(scores: torch.Tensor) -> tuple[float | None, float | None]:
    """(dx, dy) of the highest score, if it is one."""
    peak = find_peak(scores, _PEAK)
    if peak.shift is None or peak.height < _LEAST or peak.height - peak.rest < _AHEAD:
        return None, None
    return peak.shift
