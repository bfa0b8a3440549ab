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
from cimnet.registration.shifts import find_peak, masked_correlation

SURE = 0.8
MIN_PIXELS = 60
_SIGMA = 1.0
_MARGIN = 4  # pixels around an object that its outline may need


@dataclass(frozen=True)
class ObjectOffset:
    """The displacement of one object in the thermal image.

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
    peak = find_peak(scores, 4)
    confidence = _confidence(peak.height, peak.rest, pixels)
    if confidence < SURE or peak.shift is None:
        return ObjectOffset(class_id, box, pixels, "unknown", None, None, None, None, confidence)
    own_dx, own_dy = peak.shift
    dy, dx = (float(v) for v in static[:, mask].mean(axis=1))
    return ObjectOffset(class_id, box, pixels, "ok", dx + own_dx, dy + own_dy, own_dx, own_dy, confidence)


def _confidence(peak: float, second: float, pixels: int) -> float:
    """Probability that the error is below 3 pixels: a logistic regression on 815 objects of synthetic scenes, see
    docs/notebook/alignment.md."""
    return 1 / (1 + math.exp(5.13 + 0.92 * peak - 19.96 * (peak - second) - 0.89 * math.log(pixels)))
