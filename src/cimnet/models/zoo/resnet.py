"""The ResNets of published networks: torchvision's layers, one trunk per sensor, run stage by stage."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from cimnet.models.base import RGBTModel
from cimnet.models.encoder import imagenet_weights
from cimnet.models.registry import Builder, register_network

BLOCKS: dict[int, tuple[type[BasicBlock | Bottleneck], tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}
"""By depth: the residual block, and how many of them the four layers have."""
RENAMES = (("encoder_rgb_", "encoder_rgb."), ("encoder_thermal_", "encoder_thermal."))
"""Names of the two trunks' weights in the files of RTFNet and of the networks that descend from it."""


class ResNetTrunk(nn.Module):
    """ResNet v1.5 (the stride is on the 3×3 convolution) without its classifier: stem, pooling, four layers.

    Args:
        depth: a key of :data:`BLOCKS`.
        in_channels: channels of the image, 3 or 1.

    Attributes:
        channels: widths after the stem and after each layer, at 1/2 (1/4 once pooled), 1/4, 1/8, 1/16 and 1/32.

    Raises:
        ValueError: if the depth is none of ResNet's.
    """

    def __init__(self, depth: int, in_channels: int = 3) -> None:
        super().__init__()
        if depth not in BLOCKS:
            raise ValueError(f"depth is {depth}, choose one of {', '.join(map(str, BLOCKS))}")
        block, counts = BLOCKS[depth]
        network = ResNet(block, list(counts), num_classes=1)
        self.conv1 = network.conv1
        if in_channels != 3:
            self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
            nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.bn1 = network.bn1
        self.layer1, self.layer2, self.layer3, self.layer4 = (getattr(network, f"layer{n}") for n in range(1, 5))
        self.channels = (64, *(width * block.expansion for width in (64, 128, 256, 512)))

    @property
    def layers(self) -> tuple[nn.Module, nn.Module, nn.Module, nn.Module]:
        """The four layers, to be called one after the other."""
        return self.layer1, self.layer2, self.layer3, self.layer4

    def stem(self, image: Tensor) -> Tensor:
        """(B, 3 or 1, H, W) to (B, 64, H/2, W/2), rectified, before :meth:`pool`."""
        return F.relu(self.bn1(self.conv1(image)), inplace=True)

    @staticmethod
    def pool(x: Tensor) -> Tensor:
        """(B, 64, H/2, W/2) to (B, 64, H/4, W/4): the maximum of 3×3."""
        return F.max_pool2d(x, 3, stride=2, padding=1)


def resnet_pair(depth: int, pretrained: bool = False) -> tuple[ResNetTrunk, ResNetTrunk]:
    """Trunks for RGB (3 channels) and for thermal images (1 channel), with weights of their own.

    Args:
        depth: a key of :data:`BLOCKS`.
        pretrained: load torchvision's first ImageNet weights into both; the thermal stem's kernels are the mean of the
            RGB kernels over the input channels.

    Raises:
        ConfigError: if the weights cannot be loaded.
        ValueError: if the depth is none of ResNet's.
    """
    rgb, thermal = ResNetTrunk(depth), ResNetTrunk(depth, 1)
    if pretrained:
        weights = imagenet_weights(f"resnet{depth}.tv_in1k")
        rgb.load_state_dict(weights)
        thermal.load_state_dict({**weights, "conv1.weight": weights["conv1.weight"].mean(1, keepdim=True)})
    return rgb, thermal


def register_depths(family: str, network: Builder, depths: Iterable[int]) -> None:
    """Register a network ``(num_classes, depth, **options)`` as ``FAMILY_resnetDEPTH`` for each depth."""
    for depth in depths:
        register_network(f"{family}_resnet{depth}")(_with_depth(network, depth))


def _with_depth(network: Builder, depth: int) -> Builder:
    def build(num_classes: int, **options: Any) -> RGBTModel:
        return network(num_classes, depth, **options)

    return build
