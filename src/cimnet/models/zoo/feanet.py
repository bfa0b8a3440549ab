"""FEANet: Feature-Enhanced Attention Network for RGB-Thermal Real-time Semantic Segmentation.

F. Deng et al., IROS 2021, arXiv 2110.08988. The original code is under the MIT licence.
Parameters with 9 classes: 185.9 M (ResNet-50), 223.9 M (101), 255.2 M (152).

It is RTFNet with a channel and a spatial attention before each sum. Two stages of the original's code differ from the
others, and its weights were trained that way: after layer 1, the thermal stream keeps its channel attention, and after
layer 3 the channel attention of the thermal stream acts through the spatial one alone.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cimnet.models.zoo.official_names import Renames
from cimnet.models.zoo.publication import ChannelOrder, Publication, Score
from cimnet.models.zoo.resnet import register_depths
from cimnet.models.zoo.rtfnet import RTFNet

DEPTHS = (50, 101, 152)


class ChannelAttention(nn.Module):
    """sigmoid(W₂ ReLU(W₁ x̂)), x̂ the maximum of each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // 16, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // 16, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to weights (B, C, 1, 1) in 0..1."""
        return torch.sigmoid(self.fc2(F.relu(self.fc1(x.amax((2, 3), keepdim=True)))))


class SpatialAttention(nn.Module):
    """sigmoid of a 7×7 convolution of the maximum over the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to weights (B, 1, h, w) in 0..1."""
        return torch.sigmoid(self.conv1(x.amax(1, keepdim=True)))


class FEANet(RTFNet):
    """RTFNet with attention; the arguments are the same. The attention of a stage is shared by the two streams.

    Args:
        depth: number of layers of the ResNets: 50, 101 or 152.
    """

    renames: ClassVar[Renames] = (
        ("atten_depth_channel_3_1.", "channel_attention.3."),
        ("atten_depth_channel_4_1.", "channel_attention.4."),
        ("atten_depth_channel_*.", "channel_attention.*."),
        ("atten_depth_spatial_3_1.", "spatial_attention.3."),
        ("atten_depth_spatial_4_1.", "spatial_attention.4."),
        ("atten_depth_spatial_*.", "spatial_attention.*."),
        *RTFNet.renames,
    )

    def __init__(
        self,
        num_classes: int,
        depth: int = 152,
        *,
        channel_order: ChannelOrder = "rgb",
        input_scale: float = 1.0,
        pretrained: bool = False,
    ) -> None:
        super().__init__(
            num_classes, depth, channel_order=channel_order, input_scale=input_scale, pretrained=pretrained
        )
        channels = self.encoder_rgb.channels
        self.channel_attention = nn.ModuleList(ChannelAttention(c) for c in channels)
        self.spatial_attention = nn.ModuleList(SpatialAttention() for _ in channels)

    def fuse(self, stage: int, rgb: Tensor, thermal: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`RTFNet.fuse`."""
        channel, spatial = self.channel_attention[stage], self.spatial_attention[stage]
        attended = rgb * channel(rgb)
        thermal_attended = thermal * channel(thermal)
        weighted = thermal if stage == 3 else thermal_attended
        fused = attended * spatial(attended) + weighted * spatial(thermal_attended)
        return fused, thermal_attended if stage == 1 else thermal


_PUBLISHED = partial(
    Publication,
    paper="Deng et al., IROS",
    year=2021,
    link="https://arxiv.org/abs/2110.08988",
    code="https://github.com/matrixgame2018/FEANet",
    licence="MIT",
)
PUBLICATIONS = {
    "feanet_resnet50": _PUBLISHED("FEANet-50"),
    "feanet_resnet101": _PUBLISHED("FEANet-101"),
    "feanet_resnet152": _PUBLISHED(
        "FEANet-152",
        checkpoint="https://drive.google.com/file/d/1hT4ah8D3wjB1nlUjhSmCEYxFx_vC78ki/view",
        scores={"mfnet": Score(55.3, "the paper's Table II")},
    ),
}
register_depths("feanet", FEANet, DEPTHS)
