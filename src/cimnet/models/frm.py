"""Feature rectification module, FRM, of CMX (Zhang et al., T-ITS 2023): both streams correct each other at the same
time."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FRM(nn.Module):
    """Weights by channel and weights by position, both from the same two maps; each stream gets half of the other one,
    weighted by each.

    With a and b the maps of the two streams, w and u the weights in 0..1 by channel and by position:

        a' = a + ½ w_b ⊙ b + ½ u_b ⊙ b,   b' = b + ½ w_a ⊙ a + ½ u_a ⊙ a

    Args:
        channels: C of both maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel = nn.Sequential(
            nn.Linear(4 * channels, 4 * channels), nn.ReLU(inplace=True), nn.Linear(4 * channels, 2 * channels)
        )
        self.spatial = nn.Sequential(
            nn.Conv2d(2 * channels, channels, 1), nn.ReLU(inplace=True), nn.Conv2d(channels, 2, 1)
        )

    def pool(self, rgb: Tensor, thermal: Tensor) -> Tensor:
        """Two maps (B, C, H, W) to their means and largest values over all places, (B, 4·C)."""
        return torch.cat((rgb.mean((2, 3)), thermal.mean((2, 3)), rgb.amax((2, 3)), thermal.amax((2, 3))), dim=1)

    def forward(self, rgb: Tensor, thermal: Tensor) -> tuple[Tensor, Tensor]:
        """Two maps (B, C, H, W) to two of the same shape."""
        pooled = self.pool(rgb, thermal)
        channel_rgb, channel_thermal = torch.sigmoid(self.channel(pooled))[:, :, None, None].chunk(2, dim=1)
        spatial_rgb, spatial_thermal = torch.sigmoid(self.spatial(torch.cat((rgb, thermal), dim=1))).chunk(2, dim=1)
        return (
            torch.addcmul(rgb, channel_thermal + spatial_thermal, thermal, value=0.5),
            torch.addcmul(thermal, channel_rgb + spatial_rgb, rgb, value=0.5),
        )
