"""Weights in 8 bits: a file a quarter as large. Each output channel of a matrix has a scale of its own.

``NAME`` holds int8 (K, …) and ``NAME:scale`` float32 (K,): the weight is their product. What has few numbers in a
channel (biases, normalisations, depthwise kernels) stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

SCALE = ":scale"
_LEAST = 16
"""Numbers in an output channel from which 8 bits are used: below, the scales would take much of what is saved."""


def pack(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Round the matrices of a state to 8 bits, symmetrically: the largest magnitude of a channel becomes 127."""
    packed = {}
    for name, value in state.items():
        if value.is_floating_point() and value.ndim > 1 and value[0].numel() >= _LEAST and value.isfinite().all():
            rows = value.float().flatten(1)
            scale = rows.abs().amax(1) / 127
            steps = (rows / scale.clamp_min(torch.finfo(torch.float32).tiny)[:, None]).round().clamp(-127, 127)
            packed[name] = steps.to(torch.int8).view(value.shape)
            packed[name + SCALE] = scale
        else:
            packed[name] = value
    return packed


def unpack(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undo :func:`pack`, in float32; a state that was not packed stays as it is. Works without data, on the device
    ``meta``.

    Raises:
        ValueError: a matrix in 8 bits has no scale, or one of another shape.
    """
    state = {}
    for name, value in stored.items():
        if name.endswith(SCALE) and name.removesuffix(SCALE) in stored:
            continue
        if value.dtype == torch.int8:
            scale = stored.get(name + SCALE)
            if scale is None or scale.shape != value.shape[:1] or not scale.is_floating_point():
                raise ValueError(f"'{name}' is stored in 8 bits without the scale of each channel")
            value = value.float() * scale.float().view(-1, *[1] * (value.ndim - 1))
        state[name] = value
    return state
