"""Features of a pair from the model itself: its confidence, and how much its mask depends on each image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cimnet.inference.alarms.image_features import pair_stats, rgb_stats, thermal_stats
from cimnet.inference.finite import require_finite
from cimnet.models import Output, RGBTModel
from cimnet.models.base import class_ids


class Measured(NamedTuple):
    """One pair as the alarms see it.

    Attributes:
        numbers: what the detectors look at, all finite.
        both, rgb_alone, thermal_alone: class ids (H, W) int64 of the three passes that gave some of the numbers: of
            the pair, and of the pair with the other image black.
    """

    numbers: dict[str, float]
    both: Tensor
    rgb_alone: Tensor
    thermal_alone: Tensor


def measure(model: RGBTModel, rgb: Tensor, thermal: Tensor, device: torch.device) -> dict[str, float]:
    """Measure all numbers behind the alarms, for images (3, H, W) and (1, H, W) in 0..1; all are finite."""
    return measure_batch(model, [(rgb, thermal)], device)[0].numbers


@torch.inference_mode()
def measure_batch(model: RGBTModel, pairs: Sequence[tuple[Tensor, Tensor]], device: torch.device) -> list[Measured]:
    """Measure pairs (3, H, W) and (1, H, W) in 0..1 of one size, in three passes of a model in evaluation mode.

    `sureness`: mean top probability; `without_thermal`, `without_rgb`: share of pixels whose class stays where one
    image is missing (black); `flow`: mean length of explicit alignment, in thousandths of the width, 0 for models
    without it.
    """
    rgb, thermal = (torch.stack([pair[k] for pair in pairs]).to(device) for k in (0, 1))
    both: Output = model(rgb, thermal)
    mask = class_ids(require_finite(both.logits))
    rgb_alone = class_ids(require_finite(model(rgb, torch.zeros_like(thermal)).logits))
    thermal_alone = class_ids(require_finite(model(torch.zeros_like(rgb), thermal).logits))
    sureness = both.logits.softmax(1).amax(1)
    found = []
    for k, (image, heat) in enumerate(pairs):
        numbers = rgb_stats(image) | thermal_stats(heat) | pair_stats(image, heat)
        numbers |= {
            "sureness": float(sureness[k].mean()),
            "without_thermal": float((rgb_alone[k] == mask[k]).float().mean()),
            "without_rgb": float((thermal_alone[k] == mask[k]).float().mean()),
            "flow": 0.0 if both.flow is None else 1000 * _length(both.flow[k]) / both.flow.shape[-1],
        }
        found.append(Measured(numbers, mask[k], rgb_alone[k], thermal_alone[k]))
    return found


def _length(flow: Tensor) -> float:
    """Mean length of the vectors (2, h, w)."""
    return float(flow.norm(dim=0).mean())
