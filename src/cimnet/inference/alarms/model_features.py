"""What the model itself shows of a pair: how sure it is, and how much its mask owes to either image."""

from __future__ import annotations

import torch
from torch import Tensor

from cimnet.inference.alarms.image_features import pair_looks, rgb_looks, thermal_looks
from cimnet.models import Output, RGBTModel
from cimnet.models.base import class_ids


def measure(model: RGBTModel, rgb: Tensor, thermal: Tensor, device: torch.device) -> dict[str, float]:
    """All numbers that the alarms are made of, of images (3, H, W) and (1, H, W) in 0..1; all finite."""
    looks = rgb_looks(rgb) | thermal_looks(thermal) | pair_looks(rgb, thermal)
    return looks | model_signals(model, rgb[None].to(device), thermal[None].to(device))


@torch.inference_mode()
def model_signals(model: RGBTModel, rgb: Tensor, thermal: Tensor) -> dict[str, float]:
    """Three passes of a model in evaluation mode over one pair (1, 3, H, W) and (1, 1, H, W).

    `sureness`: mean top probability; `without_thermal`, `without_rgb`: share of pixels whose class stays where one
    image is missing (black); `flow`: mean length of explicit alignment, in thousandths of the width, 0 for models
    without it.
    """
    both: Output = model(rgb, thermal)
    only_rgb: Output = model(rgb, torch.zeros_like(thermal))
    only_thermal: Output = model(torch.zeros_like(rgb), thermal)
    mask = class_ids(both.logits)
    return {
        "sureness": float(both.logits.softmax(1).amax(1).mean()),
        "without_thermal": float((class_ids(only_rgb.logits) == mask).float().mean()),
        "without_rgb": float((class_ids(only_thermal.logits) == mask).float().mean()),
        "flow": 0.0 if both.flow is None else 1000 * float(both.flow.norm(dim=1).mean()) / both.flow.shape[-1],
    }
