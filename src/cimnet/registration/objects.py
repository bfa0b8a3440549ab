"""Offsets of single objects: a thing that moved between the two exposures has an offset beyond that of the cameras."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from cimnet.errors import DataError
from cimnet.ops.edges import orientation
from cimnet.registration.matrices import Matrix, compose, offset, warp

SURE = 0.8
MIN_PIXELS = 60
_SIGMA = 1.0
_MARGIN = 4  # pixels around an object that its outline may need


@dataclass(frozen=True)
class ObjectOffset:
    """How far one object is displaced in the thermal image.

    Attributes:
        class_id: of the label.
        box: left, top, right, bottom in RGB pixels (right and bottom exclusive).
        pixels: its area.
        dx, dy: whole offset, thermal minus RGB position, in pixels; None where unknown.
        own_dx, own_dy: the part beyond the offset of the pair (dynamic offset).
        confidence: 0..1, estimated probability that the error is below 3 pixels; "ok" from 0.8.
    """

    class_id: int
    box: tuple[int, int, int, int]
    pixels: int
    status: Literal["ok", "unknown"]
    dx: float | None
    dy: float | None
    own_dx: float | None
    own_dy: float | None
    confidence: float


def object_offsets(
    rgb: npt.NDArray[Any],
    thermal: npt.NDArray[Any],
    label: npt.NDArray[Any],
    class_ids: Sequence[int],
    matrix: Matrix,
    *,
    reach: int = 32,
) -> list[ObjectOffset]:
    """Offsets of the connected regions of some classes, largest first.

    The edges inside and around an object are searched within `reach` pixels in the thermal image, which the pair's
    matrix brings into the frame of the RGB image.

    Args:
        rgb, thermal, label: (H, W, 3), (h, w) and (H, W) class ids.
        class_ids: classes whose objects may move (cars, people).
        matrix: of the pair, from `align_pair`.

    Raises:
        DataError: a label of another size than the RGB image.
    """
    size = (rgb.shape[0], rgb.shape[1])
    if label.shape != size:
        raise DataError(
            f"label {label.shape[1]}x{label.shape[0]}, RGB image {size[1]}x{size[0]}: give a label of the same size"
        )
    image = torch.from_numpy(rgb.astype(np.float32)).permute(2, 0, 1)[None] / 255
    moved, _ = warp(torch.from_numpy(np.nan_to_num(thermal.astype(np.float32)))[None, None], matrix, size)
    maps = orientation(image, _SIGMA), orientation(moved, _SIGMA)
    enlarge = size[1] / thermal.shape[1]  # offsets are in RGB pixels
    static = offset(compose(np.diag([enlarge, enlarge, 1.0])[:2], matrix), size)
    found = []
    for class_id in class_ids:
        regions, count = ndimage.label(label == class_id, np.ones((3, 3)))
        for number, box in enumerate(ndimage.find_objects(regions, count), start=1):
            mask = regions == number
            if (pixels := int(mask.sum())) >= MIN_PIXELS:
                place = (box[1].start, box[0].start, box[1].stop, box[0].stop)
                found.append(_look(maps, mask, place, class_id, pixels, static, reach))
    return sorted(found, key=lambda item: -item.pixels)


def _look(
    maps: tuple[torch.Tensor, torch.Tensor],
    mask: npt.NDArray[np.bool_],
    box: tuple[int, int, int, int],
    class_id: int,
    pixels: int,
    static: npt.NDArray[np.float32],
    reach: int,
) -> ObjectOffset:
    height, width = mask.shape
    left, top = max(box[0] - _MARGIN - reach, 0), max(box[1] - _MARGIN - reach, 0)
    window = (slice(top, min(box[3] + _MARGIN + reach, height)), slice(left, min(box[2] + _MARGIN + reach, width)))
    near = torch.from_numpy(ndimage.binary_dilation(mask[window], iterations=_MARGIN).astype(np.float32))
    rgb, thermal = maps[0][..., window[0], window[1]] * near, maps[1][..., window[0], window[1]]
    scores = masked_correlation(rgb, thermal, near, reach)
    y, x = divmod(int(scores.argmax()), 2 * reach + 1)
    peak = float(scores[y, x])
    rest = scores.clone()
    rest[max(0, y - 4) : y + 5, max(0, x - 4) : x + 5] = -1
    confidence = _confidence(peak, float(rest.max()), pixels)
    at_edge = min(x, y) == 0 or max(x, y) == 2 * reach
    if confidence < SURE or at_edge:
        return ObjectOffset(class_id, box, pixels, "unknown", None, None, None, None, confidence)
    own_dx = x - reach + peak_vertex(scores[y, x - 1 : x + 2])
    own_dy = y - reach + peak_vertex(scores[y - 1 : y + 2, x])
    dy, dx = (float(v) for v in static[:, mask].mean(axis=1))
    return ObjectOffset(class_id, box, pixels, "ok", dx + own_dx, dy + own_dy, own_dx, own_dy, confidence)


def masked_correlation(rgb: torch.Tensor, thermal: torch.Tensor, mask: torch.Tensor, reach: int) -> torch.Tensor:
    """As `cimnet.ops.edges.correlation`, with the thermal map's energy taken under the shifted mask (H, W)."""
    size = [2 * length for length in mask.shape]
    spectrum = (torch.fft.rfft2(thermal, s=size) * torch.fft.rfft2(rgb, s=size).conj()).sum((0, 1))
    power = torch.fft.rfft2((thermal**2).sum((0, 1)), s=size) * torch.fft.rfft2(mask, s=size).conj()
    norm = (torch.fft.irfft2(power, s=size).clamp_min(0) * (rgb**2).sum()).sqrt() + 0.05 * (rgb**2).sum() + 1e-6
    picked = torch.arange(-reach, reach + 1)
    return (torch.fft.irfft2(spectrum, s=size) / norm)[picked][:, picked]


def peak_vertex(values: torch.Tensor) -> float:
    """Where the parabola through three neighbours has its peak, -0.5..0.5 from the middle one."""
    before, middle, after = (float(v) for v in values)
    bend = before - 2 * middle + after
    return 0.0 if bend >= 0 else max(-0.5, min(0.5, 0.5 * (before - after) / bend))


def _confidence(peak: float, second: float, pixels: int) -> float:
    """Probability that the error is below 3 pixels: a logistic regression on 815 objects of synthetic scenes, see
    docs/notebook/alignment.md."""
    return 1 / (1 + math.exp(5.13 + 0.92 * peak - 19.96 * (peak - second) - 0.89 * math.log(pixels)))
