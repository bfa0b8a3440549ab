"""Upsampling by residual blocks with transposed convolutions, the decoder of RTFNet, FEANet and EAEFNet."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ResidualUpBlock(nn.Module):
    """A bottleneck block whose last layer is a 3×3 convolution or, where it ``doubles``, a transposed one of 2×2.

    Args:
        in_channels, out_channels: equal unless it doubles.
        doubles: height and width.
    """

    def __init__(self, in_channels: int, out_channels: int, doubles: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.conv3: nn.Module
        self.upsample: nn.Module
        if doubles:
            self.conv3 = nn.ConvTranspose2d(out_channels, out_channels, 2, stride=2, bias=False)
            self.upsample = nn.Sequential(
                nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2, bias=False), nn.BatchNorm2d(out_channels)
            )
        else:
            self.conv3 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
            self.upsample = nn.Identity()
        self.bn3 = nn.BatchNorm2d(out_channels)
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.xavier_uniform_(layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, ``in_channels``, h, w) to (B, ``out_channels``, h, w) or (B, ``out_channels``, 2h, 2w), rectified."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        return F.relu(self.bn3(self.conv3(y)) + self.upsample(x), inplace=True)


def up_stage(in_channels: int, out_channels: int, blocks: int = 2) -> nn.Sequential:
    """``blocks`` residual blocks, the last of which doubles height and width and changes the channels."""
    same = [ResidualUpBlock(in_channels, in_channels, doubles=False) for _ in range(blocks - 1)]
    return nn.Sequential(*same, ResidualUpBlock(in_channels, out_channels, doubles=True))
