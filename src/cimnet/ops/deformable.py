"""Deformable convolution with one interface and two implementations.

On a CPU the samples are gathered with ``grid_sample`` and mixed with one matrix product, which is several times
faster there than torchvision's kernel (docs/notebook/training-cost.md); on CUDA torchvision's kernel is used. Both give
the same values and gradients. Source: Dai et al., ICCV 2017, and Zhu et al., CVPR 2019 (DCN v2, the optional mask).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Implementation = Literal["grid_sample", "torchvision"]
_CHOSEN: ContextVar[Implementation | None] = ContextVar("implementation", default=None)


@contextmanager
def use_implementation(implementation: Implementation) -> Iterator[None]:
    """Context in which deformable convolutions use this implementation unless they name another one: an exporter needs
    ``torchvision``, whose kernel is one operator."""
    token = _CHOSEN.set(implementation)
    try:
        yield
    finally:
        _CHOSEN.reset(token)


def deform_conv2d(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
    implementation: Implementation | None = None,
) -> Tensor:
    """Convolve ``x`` at displaced taps, stride 1, the output as large as the input.

    Args:
        x: features (B, C, H, W).
        offset: displacement of each of the k×k taps, (B, 2·k², H, W), order (dy, dx) per tap, in pixels of ``x``.
        weight: (O, C, k, k), k odd.
        bias: (O,) or None.
        mask: modulation (B, k², H, W) that multiplies each tap (DCN v2), or None.
        implementation: by default that of :func:`use_implementation`, else ``torchvision`` on CUDA and
            ``grid_sample`` elsewhere.

    Returns:
        (B, O, H, W), float32 for half-precision inputs: offsets, coordinates and samples are kept in float32 or
        better. Samples outside ``x`` count as zero.

    Raises:
        ValueError: if the offset or mask does not have the shape that kernel and input ask for.
    """
    taps = weight.shape[-1] * weight.shape[-2]
    expected = (x.shape[0], 2 * taps, x.shape[2], x.shape[3])
    if offset.shape != expected:
        raise ValueError(f"offset has shape {tuple(offset.shape)}, the input and kernel ask for {expected}")
    if mask is not None and mask.shape != (x.shape[0], taps, x.shape[2], x.shape[3]):
        raise ValueError(f"mask has shape {tuple(mask.shape)}, expected {(expected[0], taps, *expected[2:])}")
    implementation = implementation or _CHOSEN.get()
    if implementation is None:
        implementation = "torchvision" if x.device.type == "cuda" else "grid_sample"
    if x.dtype in (torch.float16, torch.bfloat16):
        x = x.float()
    offset = offset.to(x.dtype)
    mask = None if mask is None else mask.to(x.dtype)
    weight, bias = weight.to(x.dtype), None if bias is None else bias.to(x.dtype)
    with torch.autocast(x.device.type, enabled=False):
        if implementation == "grid_sample":
            return _by_grid_sample(x, offset, weight, bias, mask)
        from torchvision import ops  # imported here: it takes two seconds, and on a CPU few need it

        padding = (weight.shape[-2] // 2, weight.shape[-1] // 2)
        return ops.deform_conv2d(x, offset, weight, bias, padding=padding, mask=mask)


def _by_grid_sample(x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None, mask: Tensor | None) -> Tensor:
    """Sampling and mixing channels commute, so the cheaper order is used: it samples few maps instead of many."""
    batch, channels, height, width = x.shape
    taps = weight.shape[-2] * weight.shape[-1]
    x = x.contiguous()  # else the nine times larger samples would have to be copied
    grid = _sampling_grid(offset, (weight.shape[-2], weight.shape[-1]))
    if len(weight) < channels:  # each tap: mix to O channels, then sample
        per_tap = weight.permute(2, 3, 0, 1).reshape(taps * len(weight), channels, 1, 1)
        mixed = F.conv2d(x, per_tap).view(batch * taps, len(weight), height, width)
        samples = _sample(mixed, grid.view(batch * taps, height, width, 2)).view(batch, taps, -1, height, width)
        out = samples.sum(1) if mask is None else (samples * mask.unsqueeze(2)).sum(1)
    else:  # sample, then mix all taps with one matrix product
        samples = _sample(x, grid.reshape(batch, taps * height, width, 2)).view(batch, channels, taps, height, width)
        if mask is not None:
            samples = samples * mask.unsqueeze(1)
        out = weight.flatten(1) @ samples.reshape(batch, channels * taps, height * width)
        out = out.view(batch, -1, height, width)
    return out if bias is None else out + bias.view(-1, 1, 1)


def _sample(x: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(x, grid, padding_mode="zeros", align_corners=False)


def _sampling_grid(offset: Tensor, kernel: tuple[int, int]) -> Tensor:
    """Offsets (B, 2·k², H, W) to the positions to sample, (B, k², H, W, 2), in grid_sample's coordinates (x, y)."""
    batch, _, height, width = offset.shape
    rows, columns, ky, kx = (
        torch.arange(n, device=offset.device, dtype=offset.dtype) for n in (height, width, *kernel)
    )
    ky, kx = torch.meshgrid(ky - kernel[0] // 2, kx - kernel[1] // 2, indexing="ij")
    displacement = offset.view(batch, -1, 2, height, width)
    y = displacement[:, :, 0] + rows.view(height, 1) + ky.reshape(-1, 1, 1)
    x = displacement[:, :, 1] + columns + kx.reshape(-1, 1, 1)
    # At whole pixels, where training starts, rounding must not push a sample below its pixel: the derivative by the
    # offset would be the one towards the other neighbour.
    nudge = 2 * max(height, width) * torch.finfo(offset.dtype).eps
    return grid_coordinates(y + nudge, x + nudge, height, width)


def grid_coordinates(y: Tensor, x: Tensor, height: int, width: int) -> Tensor:
    """Positions (…) in pixels of a map (height, width) to grid_sample's coordinates (…, 2), align_corners=False: there
    pixel p of n has its centre at (2p + 1)/n − 1."""
    return torch.stack(((2 * x + 1) / width - 1, (2 * y + 1) / height - 1), dim=-1)


class DeformConv2d(nn.Module):
    """The weights of a deformable convolution; the caller gives the offsets (eq. 12 and 13 share this form).

    Args:
        in_channels, out_channels: C and O.
        kernel_size: k, odd.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, C, H, W) and (B, 2·k², H, W) to (B, O, H, W)."""
        return deform_conv2d(x, offset, self.weight, self.bias, mask)
