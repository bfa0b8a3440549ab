"""Position embeddings for any image size."""

from __future__ import annotations

import torch
from torch import Tensor


def resample_positions(positions: Tensor, height: int, width: int) -> Tensor:
    """Resample position embeddings (1, C, h, w) to another grid, (1, C, height, width).

    Bicubic with antialiasing, which equals ``torch.nn.functional.interpolate(mode="bicubic", antialias=True)`` up to
    rounding. Written as two matrix products, because ONNX has no form of that function for a grid of free size.
    """
    rows = _cubic_weights(positions.shape[-2], height, positions)
    columns = _cubic_weights(positions.shape[-1], width, positions)
    return (rows @ positions.float() @ columns.T).to(positions.dtype)


def _cubic_weights(old: int, new: int, like: Tensor) -> Tensor:
    """(new, old): the share of each old position in each new one; rows sum to 1. Keys' cubic with a = −1/2."""
    centers = torch.arange(new, device=like.device, dtype=torch.float32) + 0.5
    scale = old / torch.ones_like(centers).sum()  # a tensor: a traced graph keeps it free
    places = torch.arange(old, device=like.device, dtype=torch.float32) + 0.5
    distance = (places - scale * centers[:, None]).abs() / scale.clamp_min(1.0)
    near = (1.5 * distance - 2.5) * distance.square() + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weights = torch.where(distance < 1, near, far) * (distance < 2)
    return weights / weights.sum(1, keepdim=True)
