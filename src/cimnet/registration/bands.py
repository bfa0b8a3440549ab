"""What one matrix for the cameras leaves over, by height in the image: where distances differ, so do offsets."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cimnet.ops.edges import orientation
from cimnet.registration.matrices import Matrix, compose, resize, warp
from cimnet.registration.objects import masked_correlation, peak_vertex
from cimnet.registration.prepare import prepare

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
    """How far the thermal image still lies from the RGB image in a band of rows, after the matrix.

    Attributes:
        top, bottom: first and last row of the RGB image.
        dx, dy: offset of what most of its edges belong to, in RGB pixels, thermal minus RGB position; None where
            nothing is to be seen.
    """

    top: int
    bottom: int
    dx: float | None
    dy: float | None


def band_offsets(pairs: Iterable[tuple[npt.NDArray[Any], npt.NDArray[Any]]], matrix: Matrix) -> list[BandOffset]:
    """The offsets that pairs of the same cameras have in common in bands of rows, beside those of their matrix.

    The edges of each band are correlated with those around them in the thermal image, summed over the pairs.

    Args:
        pairs: as for `align_rig`.
        matrix: from `align_rig`.

    Returns:
        `BANDS` bands, from top to bottom; none where no pair tells anything.

    Raises:
        DataError: see `align_rig`.
    """
    images = prepare(pairs)
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
    y, x = divmod(int(scores.argmax()), 2 * REACH + 1)
    rest = scores.clone()
    rest[max(0, y - _PEAK) : y + _PEAK + 1, max(0, x - _PEAK) : x + _PEAK + 1] = -1
    height = float(scores[y, x])
    at_edge = min(x, y) == 0 or max(x, y) == 2 * REACH
    if height < _LEAST or height - float(rest.max()) < _AHEAD or at_edge:
        return None, None
    dx, dy = peak_vertex(scores[y, x - 1 : x + 2]), peak_vertex(scores[y - 1 : y + 2, x])
    return x - REACH + dx, y - REACH + dy
