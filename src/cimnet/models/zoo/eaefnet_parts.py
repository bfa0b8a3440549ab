"""Parts of EAEFNet: the fusion of two streams, and what its decoder consists of. GELU is the exact one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH = 64
"""Channels of all maps in the decoder."""
SHORTEST = 1e-6
"""Shorter descriptors are not brought to length 1: one of zeros, as a black image may give, has no direction. The
original divides by its length, which gives NaN."""
Gate = Literal["image", "batch"]
UseSE = bool | Literal["training"]


def resize(x: Tensor, factor: int) -> Tensor:
    """Bilinear, corners aligned: (B, C, h, w) to (B, C, ``factor``·h, ``factor``·w)."""
    size = (x.shape[-2] * factor, x.shape[-1] * factor)
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)


class ChannelMLP(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.down = nn.Linear(channels, hidden)
        self.up = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(…, C) to (…, C)."""
        return self.up(F.gelu(self.down(x)))


class ExplicitFusion(nn.Module):
    """Split each channel by a gate into what both sensors show and what only one shows, and weigh both parts.

    Args:
        channels: C.
        shared_descriptor: one layer describes both streams and the temperature is learned. Otherwise there is one per
            stream and the temperature is C.
        gate: ``image`` or ``batch``, see :class:`cimnet.models.zoo.eaefnet.EAEFNet`.
    """

    def __init__(self, channels: int, shared_descriptor: bool, gate: Gate) -> None:
        super().__init__()
        self.gate_of = gate
        self.temperature: Tensor | float
        if shared_descriptor:
            self.temperature = nn.Parameter(torch.tensor(float(channels)))
            self.describe = nn.ModuleList([ChannelMLP(channels, 2 * channels)])
        else:
            self.temperature = float(channels)
            self.describe = nn.ModuleList(ChannelMLP(channels, channels // 16) for _ in range(2))
        self.mix = nn.Conv2d(2 * channels, 2 * channels, 7, padding=3, groups=channels)
        self.channel_weights = ChannelMLP(2 * channels, 2 * channels // 16)
        self.spatial_rgb = nn.Conv2d(channels, 1, 1)
        self.spatial_thermal = nn.Conv2d(channels, 1, 1)

    def gate(self, rgb: Tensor, thermal: Tensor) -> Tensor:
        """Return the similarity of both streams, in 0..1: two maps (B, C, h, w) to (B, C)."""
        r, t = self.describe[0](rgb.mean((2, 3))), self.describe[-1](thermal.mean((2, 3)))
        r, t = (F.normalize(x, dim=1, eps=SHORTEST) for x in (r, t))
        if self.gate_of == "image":
            return torch.sigmoid(self.temperature * r[:, :1] * t)
        products = self.temperature * r.diagonal()[:, None] * t  # B ≤ C
        return torch.sigmoid(products.t().reshape(t.shape))

    def forward(self, rgb: Tensor, thermal: Tensor) -> tuple[Tensor, Tensor]:
        """Two maps (B, C, h, w) to those that enter the next layers."""
        g = self.gate(rgb, thermal)[:, :, None, None]
        mixed = self.mix(torch.cat((rgb * g, thermal * g), dim=1))
        v = torch.sigmoid(self.channel_weights(mixed.amax((2, 3))))[:, :, None, None]
        v_rgb, v_thermal = v.chunk(2, dim=1)
        rgb = rgb * (1 - g + g * v_rgb)
        thermal = thermal * (1 - g + g * v_thermal)
        a = torch.cat((self.spatial_rgb(rgb), self.spatial_thermal(thermal)), dim=1).softmax(1)
        thermal = thermal * a[:, 1:]
        return rgb * a[:, :1] + thermal, thermal


class ConvNorm(nn.Module):
    """A convolution that keeps the size, and batch normalisation; no activation."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: tuple[int, int]) -> None:
        super().__init__()
        padding = (kernel_size[0] // 2, kernel_size[1] // 2)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, D, h, w)."""
        return self.bn(self.conv(x))


class SqueezeExcitation(nn.Module):
    """Squeeze and excitation: x · sigmoid(W₂ GELU(W₁ mean x))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(channels, channels // 4), nn.GELU(), nn.Linear(channels // 4, channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to the same shape."""
        return x * torch.sigmoid(self.fc(x.mean((2, 3))))[:, :, None, None]


class Context(nn.Module):
    """Global context module: a 1×1 branch and three whose 1×k and k×1 convolutions see 3, 5 and 7 pixels.

    One layer, which all branches share, weighs their channels.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList([nn.Sequential(ConvNorm(in_channels, WIDTH, (1, 1)))])
        for k in (3, 5, 7):
            self.branches.append(
                nn.Sequential(
                    ConvNorm(in_channels, WIDTH, (1, 1)), ConvNorm(WIDTH, WIDTH, (1, k)), ConvNorm(WIDTH, WIDTH, (k, 1))
                )
            )
        self.se = SqueezeExcitation(WIDTH)
        self.shortcut = nn.Conv2d(in_channels, WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, 64, h, w), rectified."""
        total = self.shortcut(x)
        for branch in self.branches:
            total = total + self.se(branch(x))
        return F.relu(total, inplace=True)


class Aggregation(nn.Module):
    """Bring maps at 1/32, 1/16 and 1/8 together: each larger one is multiplied by the smaller ones and joined to them.

    Args:
        out_channels: C.
        use_se: weigh the channels before the last convolution: never, always, or in training mode alone. The layer
            exists in any case, as in the original.
    """

    def __init__(self, out_channels: int, use_se: UseSE) -> None:
        super().__init__()
        self.use_se = use_se
        self.up1, self.up2, self.up3, self.up4 = (ConvNorm(WIDTH, WIDTH, (3, 3)) for _ in range(4))
        self.up5 = ConvNorm(2 * WIDTH, 2 * WIDTH, (3, 3))
        self.join2 = ConvNorm(2 * WIDTH, 2 * WIDTH, (3, 3))
        self.join3 = ConvNorm(3 * WIDTH, 3 * WIDTH, (3, 3))
        self.mix = ConvNorm(3 * WIDTH, 3 * WIDTH, (3, 3))
        self.se = SqueezeExcitation(3 * WIDTH).requires_grad_(bool(use_se))
        self.project = nn.Conv2d(3 * WIDTH, out_channels, 1)

    def forward(self, deep: Tensor, middle: Tensor, large: Tensor) -> Tensor:
        """(B, 64, h, w), (B, 64, 2h, 2w), (B, 64, 4h, 4w) to (B, C, 4h, 4w)."""
        deep = resize(deep, 2)
        middle_product = self.up1(deep) * middle
        large_product = self.up2(resize(deep, 2)) * self.up3(resize(middle, 2)) * large
        joined = self.join2(torch.cat((middle_product, self.up4(deep)), dim=1))
        joined = self.join3(torch.cat((large_product, self.up5(resize(joined, 2))), dim=1))
        mixed = self.mix(joined)
        weighted = self.training if self.use_se == "training" else self.use_se
        return self.project(self.se(mixed) if weighted else mixed)


class SharedNormASPP(nn.Module):
    """The sum of three dilated convolutions, each normalised by the one batch normalisation that they share."""

    def __init__(self, dilations: Sequence[int] = (6, 12, 18)) -> None:
        super().__init__()
        self.convs = nn.ModuleDict({str(d): nn.Conv2d(WIDTH, WIDTH, 3, padding=d, dilation=d) for d in dilations})
        self.bn = nn.BatchNorm2d(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 64, h, w) to the same shape."""
        first, *others = (self.bn(conv(x)) for conv in self.convs.values())
        return sum(others, first)


def conv_norm_relu() -> nn.Sequential:
    """3×3 convolution, batch normalisation, ReLU; 64 channels in and out."""
    return nn.Sequential(
        nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU(inplace=True)
    )
