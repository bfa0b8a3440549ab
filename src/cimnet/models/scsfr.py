"""Spatial-channel sequential feature rectification, SCSFR (paper III-C, eq. 11–23, Fig. 7)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cimnet.ops.deformable import DeformConv2d

OffsetUpdate = Literal["replace", "residual"]


def halve_offset(offset: Tensor, size: tuple[int, int]) -> Tensor:
    """Carry offsets to the next stage: resize the map, and halve the values, because pixels there are twice as large.

    Args:
        offset: (B, 2·k², H, W), in pixels of its own stage.
        size: (height, width) of the next stage's map.

    Returns:
        (B, 2·k², height, width), in pixels of the next stage.
    """
    return 0.5 * F.interpolate(offset, size=size, mode="bilinear", align_corners=False)


class SCSFROutput(NamedTuple):
    """The output of SCSFR.

    Attributes:
        rgb, thermal: rectified maps, (B, C, H, W).
        offset: this stage's offsets δⁿ, (B, 2·k², H, W), (dy, dx) of each sampling point in pixels of this stage.
    """

    rgb: Tensor
    thermal: Tensor
    offset: Tensor


class SpatialRectification(nn.Module):
    """Offsets, alignment and the exchange of spatially weighted features (eq. 11–18).

    The deformable convolution samples a map into which both streams are already mixed, and only the two weight maps
    come from it. The features that a stream gets from the other one are not warped, so the offsets cannot undo a
    misalignment; for that, see :mod:`cimnet.models.explicit_alignment`.
    """

    def __init__(self, channels: int, kernel_size: int, offset_update: OffsetUpdate, modulation: bool) -> None:
        super().__init__()
        taps = kernel_size**2
        self.offset_update = offset_update
        self.reduce = nn.Conv2d(2 * channels, channels, 1)
        self.offset_conv = DeformConv2d(channels, 2 * taps, kernel_size)
        nn.init.zeros_(self.offset_conv.weight)
        self.modulation = nn.Conv2d(channels, taps, kernel_size, padding=kernel_size // 2) if modulation else None
        self.align = DeformConv2d(channels, channels, kernel_size)
        self.weights = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.ReLU(inplace=True), nn.Conv2d(channels, 2, 1))
        self.scale = nn.Parameter(torch.tensor([0.5]))  # λ_s

    def forward(self, rgb: Tensor, thermal: Tensor, previous: Tensor) -> SCSFROutput:
        """Maps (B, C, H, W) and the previous offsets (B, 2·k², H, W) to :class:`SCSFROutput`."""
        fused = self.reduce(torch.cat((rgb, thermal), dim=1))  # eq. 11
        offset = self.offset_conv(fused, previous)  # eq. 13: sampled at the previous offsets
        if self.offset_update == "residual":
            offset = previous + offset
        mask = None if self.modulation is None else torch.sigmoid(self.modulation(fused))
        aligned = self.align(fused, offset, mask)  # eq. 12
        weight_rgb, weight_thermal = torch.sigmoid(self.weights(aligned)).chunk(2, dim=1)  # eq. 14
        return SCSFROutput(
            torch.addcmul(rgb, self.scale * weight_thermal, thermal),  # eq. 15, 17
            torch.addcmul(thermal, self.scale * weight_rgb, rgb),  # eq. 16, 18
            offset,
        )


class ChannelRectification(nn.Module):
    """The same exchange with channel weights (eq. 19–23)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(4 * channels, 4 * channels),
            nn.ReLU(inplace=True),
            nn.Linear(4 * channels, 2 * channels),
        )
        self.scale = nn.Parameter(torch.tensor([0.5]))  # λ_c

    def forward(self, rgb: Tensor, thermal: Tensor) -> tuple[Tensor, Tensor]:
        """Two maps (B, C, H, W) to two of the same shape."""
        pooled = torch.cat(
            (rgb.amax((2, 3)), rgb.mean((2, 3)), thermal.amax((2, 3)), thermal.mean((2, 3))), dim=1
        )  # P, (B, 4C)
        weights = torch.sigmoid(self.mlp(pooled))[:, :, None, None]  # eq. 19
        weight_rgb, weight_thermal = weights.chunk(2, dim=1)
        return (
            torch.addcmul(rgb, self.scale * weight_thermal, thermal),  # eq. 20, 22
            torch.addcmul(thermal, self.scale * weight_rgb, rgb),  # eq. 21, 23
        )


class SCSFR(nn.Module):
    """Rectify both streams of one stage: first in space, then, on that result, by channel (paper III-C, eq. 11–23).

    Args:
        channels: C of both maps.
        kernel_size: K of the deformable convolutions.
        offset_update: ``replace``: δⁿ is what the convolution gives (eq. 13 to the letter). ``residual``: that is added
            to the offsets of the stage before.
        modulation: whether the sampling points are also weighed, as in DCN v2. Eq. 12 has no such weights.
        swr: whether to rectify in space (SWR of Table III). False: the offsets pass unchanged.
        cwr: whether to rectify by channel (CWR of Table III).
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 3,
        offset_update: OffsetUpdate = "replace",
        modulation: bool = False,
        swr: bool = True,
        cwr: bool = True,
    ) -> None:
        super().__init__()
        self.spatial = SpatialRectification(channels, kernel_size, offset_update, modulation) if swr else None
        self.channel = ChannelRectification(channels) if cwr else None

    def forward(self, rgb: Tensor, thermal: Tensor, previous: Tensor) -> SCSFROutput:
        """Rectify the maps of one stage.

        Args:
            rgb, thermal: (B, C, H, W).
            previous: offsets of the stage before, (B, 2·k², H, W), already brought to this stage by
                :func:`halve_offset`.
        """
        offset = previous
        if self.spatial is not None:
            rgb, thermal, offset = self.spatial(rgb, thermal, previous)
        if self.channel is not None:
            rgb, thermal = self.channel(rgb, thermal)
        return SCSFROutput(rgb, thermal, offset)
