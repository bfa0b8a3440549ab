"""Complementary information promotion and amplification, CIPA (paper III-B, eq. 1–10, Fig. 6)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cimnet.models.base import zero_conv
from cimnet.models.mutual_information import MIMode, MutualInformationHead


class ChannelAttention(nn.Module):
    """Global average pooling, a 1-D convolution across channels, sigmoid, multiply (eq. 6–9).

    Args:
        channels: C of the map. It decides the kernel as in ECA-Net (Wang et al., CVPR 2020): the odd number at or above
            log2(C)/2 + 1/2.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        kernel = int(math.log2(channels) / 2 + 0.5)
        kernel += 1 - kernel % 2
        self.mix = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        pooled = x.mean(dim=(2, 3)).unsqueeze(1)  # (B, 1, C)
        weight = torch.sigmoid(self.mix(pooled)).transpose(1, 2).unsqueeze(-1)  # eq. 6, 7
        return x * weight  # eq. 8, 9


class CIPAOutput(NamedTuple):
    """The output of CIPA.

    Attributes:
        rgb, thermal: F''_R and F''_T, (B, C, H, W).
        offset: first offsets δ⁰, (B, 2·k², H, W), (dy, dx) of each sampling point in pixels of this map; zeros without
            MSM.
        mutual_information: estimate, a scalar in nats. None outside training mode, and without the head.
    """

    rgb: Tensor
    thermal: Tensor
    offset: Tensor
    mutual_information: Tensor | None


class CIPA(nn.Module):
    """Measure what the streams share, amplify informative channels, and predict the first offsets (paper III-B, eq.
    1–10).

    Args:
        channels: C of both maps of stage 1.
        taps: k², number of sampling points of the deformable kernel.
        mutual_information: how the head is trained, see :class:`MutualInformationHead`. None: no head (MIR of Table
            III).
        msm: whether to predict δ⁰ (MSM of Table III). False: δ⁰ is zero.
    """

    def __init__(
        self, channels: int, taps: int = 9, mutual_information: MIMode | None = "adversarial", msm: bool = True
    ) -> None:
        super().__init__()
        self.taps = taps
        self.mi_head = None if mutual_information is None else MutualInformationHead(channels, mode=mutual_information)
        self.attention_rgb = ChannelAttention(channels)
        self.attention_thermal = ChannelAttention(channels)
        self.offset = None
        if msm:
            last = zero_conv(channels, 2 * taps)
            self.offset = nn.Sequential(nn.Conv2d(2 * channels, channels, 1), nn.ReLU(inplace=True), last)

    def forward(self, rgb: Tensor, thermal: Tensor, both: Tensor | None = None) -> CIPAOutput:
        """Run CIPA on both maps of stage 1.

        Args:
            rgb, thermal: (B, C, H, W).
            both: (B,) bool, pairs with both images; only these count for the mutual information. None: all.
        """
        estimate = None
        if self.training and self.mi_head is not None:
            estimate = self.mi_head(rgb, thermal, both)  # eq. 1–5
        rgb, thermal = self.attention_rgb(rgb), self.attention_thermal(thermal)
        if self.offset is None:
            offset = rgb.new_zeros(rgb.shape[0], 2 * self.taps, *rgb.shape[-2:])  # not len(): tracing would fix it
        else:
            offset = self.offset(torch.cat((rgb, thermal), dim=1))  # eq. 10
        return CIPAOutput(rgb, thermal, offset, estimate)
