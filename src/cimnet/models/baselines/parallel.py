"""Two streams with parallel rectification, a reference point: the principle of CMX (Zhang et al., T-ITS 2023)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from cimnet.models.base import Output
from cimnet.models.ffm import FFM
from cimnet.models.projections import HEADS
from cimnet.models.two_stream import Streams, TwoStream


class ParallelRectification(nn.Module):
    """Weights by channel and weights by place, both from the same two maps; each stream gets half of the other one
    weighed by either."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel = nn.Sequential(
            nn.Linear(4 * channels, 4 * channels), nn.ReLU(inplace=True), nn.Linear(4 * channels, 2 * channels)
        )
        self.spatial = nn.Sequential(
            nn.Conv2d(2 * channels, channels, 1), nn.ReLU(inplace=True), nn.Conv2d(channels, 2, 1)
        )

    def forward(self, rgb: Tensor, thermal: Tensor) -> tuple[Tensor, Tensor]:
        """Two maps (B, C, H, W) to two of the same shape."""
        pooled = torch.cat((rgb.amax((2, 3)), rgb.mean((2, 3)), thermal.amax((2, 3)), thermal.mean((2, 3))), dim=1)
        channel_rgb, channel_thermal = torch.sigmoid(self.channel(pooled))[:, :, None, None].chunk(2, dim=1)
        spatial_rgb, spatial_thermal = torch.sigmoid(self.spatial(torch.cat((rgb, thermal), dim=1))).chunk(2, dim=1)
        return (
            torch.addcmul(rgb, channel_thermal + spatial_thermal, thermal, value=0.5),
            torch.addcmul(thermal, channel_rgb + spatial_rgb, rgb, value=0.5),
        )


class ParallelNet(TwoStream):
    """CIMNet's encoders, projections, fusion and decoder, with :class:`ParallelRectification` in place of CIPA and
    SCSFR. Arguments are those of :class:`cimnet.models.two_stream.TwoStream`."""

    def __init__(self, encoder: str, num_classes: int, **options: Any) -> None:
        super().__init__(encoder, num_classes, **options)
        self.add_projections()
        self.rectify = nn.ModuleList(ParallelRectification(width) for width in self.widths)
        self.add_write_backs()
        self.ffm = nn.ModuleList(FFM(c, heads) for c, heads in zip(self.widths, HEADS, strict=True))
        self.add_decoder()

    def forward(self, rgb: Tensor | None, thermal: Tensor | None) -> Output:
        """Images (B, 3, H, W) and (B, 1, H, W) in 0..1, one of them None if it is missing, to
        :class:`cimnet.models.base.Output`."""
        images = self.begin(rgb, thermal)
        maps = Streams(images.rgb, images.thermal)
        fused = []
        for n in range(4):
            maps = self.encode(n, maps, images)
            projected = self.project(n, maps, images)
            rectified = Streams(*self.rectify[n](*projected))
            fused.append(self.recomputed(self.ffm[n])(*rectified))
            maps = self.write_back(n, maps, projected, rectified)
        return Output(self.restore(self.decoder(fused), images.padded, images.size), flow=images.flow)
