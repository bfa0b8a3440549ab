"""The fusion of shallow maps that GMNet introduced and CAINet took over, and the resizing that both use."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cimnet.models.zoo.feanet import ChannelAttention


class DetailAggregation(nn.Module):
    """Details of two shallow maps, where the thermal map says what is salient (GMNet: shallow feature fusion; CAINet:
    detail aggregation).

    With q a 7×7 convolution of the largest thermal channel at each pixel::

        o = r · sigmoid(q + r) + q
        p = conv1×1(o)
        out = p · attention(p)

    Args:
        in_channels: channels of both maps.
        channels: channels of the result.
    """

    def __init__(self, in_channels: int, channels: int = 64) -> None:
        super().__init__()
        self.saliency = nn.Conv2d(1, 1, 7, padding=3, bias=False)
        self.project = nn.Conv2d(in_channels, channels, 1)
        self.attention = ChannelAttention(channels)

    def forward(self, rgb: Tensor, thermal: Tensor) -> Tensor:
        """Two maps (B, C, H, W) to one (B, ``channels``, H, W)."""
        salient = self.saliency(thermal.amax(1, keepdim=True))
        details = self.project(rgb * torch.sigmoid(salient + rgb) + salient)
        return details * self.attention(details)


DETAIL_NAMES = (("conv1.", "saliency."), ("tp.", "project."), ("ca.", "attention."))
"""Names of :class:`DetailAggregation`'s weights in the files of both originals, and here."""


def double(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, C, 2·H, 2·W), bilinear, corner pixels on corner pixels (``align_corners``)."""
    return F.interpolate(x, size=(2 * x.shape[2], 2 * x.shape[3]), mode="bilinear", align_corners=True)
