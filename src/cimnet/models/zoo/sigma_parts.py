"""Parts of Sigma: its encoder, and its decoder, of scans over the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import DropPath
from torch import Tensor, nn

from cimnet.models.zoo.ss2d import SS2D

ENCODER_STATES, STATES = 16, 4
"""States of each row: in the encoder, and in fusion and decoder."""
DECODER_BLOCKS, DECODER_DROP_PATH = 4, 0.1
Recomputed = Callable[[nn.Module], Callable[..., Any]]


class EncoderBlock(nn.Module):
    """A residual SS2D; there is no MLP."""

    def __init__(self, width: int, drop_path: float) -> None:
        super().__init__()
        self.norm, self.mixer = nn.LayerNorm(width), SS2D(width, ENCODER_STATES)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to the same."""
        return x + self.drop_path(self.mixer(self.norm(x)))


class PatchMerging(nn.Module):
    """Half the size, twice the channels. An odd side gets a row or column of zeros at its end."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.reduction = nn.LayerNorm(4 * width), nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to (B, ⌈H/2⌉, ⌈W/2⌉, 2·C)."""
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        quarters = [x[:, row::2, column::2] for column in range(2) for row in range(2)]
        return self.reduction(self.norm(torch.cat(quarters, -1)))


class Encoder(nn.Module):
    """Visual state space model: four stages at 1/4, 1/8, 1/16 and 1/32.

    Args:
        width: channels of the first stage; each following one has twice as many.
        depths: blocks of each stage.
        drop_path: of the last block; it rises linearly from 0.
    """

    def __init__(self, width: int, depths: Sequence[int], drop_path: float) -> None:
        super().__init__()
        widths = [width * 2**stage for stage in range(4)]
        rates = iter(_rising(drop_path, sum(depths)))
        self.embed, self.embed_norm = nn.Conv2d(3, width, 4, stride=4), nn.LayerNorm(width)
        self.stages = nn.ModuleList(
            nn.ModuleList(EncoderBlock(wide, next(rates)) for _ in range(depth))
            for wide, depth in zip(widths, depths, strict=True)
        )
        self.merging = nn.ModuleList(PatchMerging(wide) for wide in widths[:3])
        self.norms = nn.ModuleList(nn.LayerNorm(wide) for wide in widths)
        self.apply(_initialise_linear)

    def forward(self, x: Tensor, recomputed: Recomputed) -> list[Tensor]:
        """(B, 3, H, W) to four maps (B, h, w, C)."""
        x = self.embed_norm(self.embed(x).permute(0, 2, 3, 1))
        maps = []
        for index, (blocks, norm) in enumerate(zip(self.stages, self.norms, strict=True)):
            if index:
                x = self.merging[index - 1](x)
            for block in blocks.children():
                x = recomputed(block)(x)
            maps.append(norm(x))
        return maps


class ChannelAttention(nn.Module):
    """A factor for each channel, from its mean and its largest value."""

    def __init__(self, width: int) -> None:
        super().__init__()
        narrow = max(1, width // 30)
        layers = nn.Conv2d(width, narrow, 1, bias=False), nn.SiLU(), nn.Conv2d(narrow, width, 1, bias=False)
        self.fc = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        mean, largest = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
        return x * (self.fc(mean) + self.fc(largest)).sigmoid()


class DecoderBlock(nn.Module):
    """SS2D and convolutions with channel attention (CVSS block); the residual paths have learned scales."""

    def __init__(self, width: int, drop_path: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.scale1, self.scale2 = nn.Parameter(torch.ones(width)), nn.Parameter(torch.ones(width))
        self.mixer, self.drop_path = SS2D(width, STATES), DropPath(drop_path)
        squeeze, widen = nn.Conv2d(width, width // 3, 3, padding=1), nn.Conv2d(width // 3, width, 3, padding=1)
        self.local = nn.Sequential(squeeze, nn.GELU(), widen, ChannelAttention(width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to the same."""
        x = self.scale1 * x + self.drop_path(self.mixer(self.norm1(x)))
        local: Tensor = self.local(self.norm2(x).permute(0, 3, 1, 2))
        return local.permute(0, 2, 3, 1) + self.scale2 * x


class PatchExpanding(nn.Module):
    """Twice the size, half the channels: four times the channels are spread over the 2×2 pixels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.expand, self.norm = nn.Linear(width, 2 * width, bias=False), nn.LayerNorm(width // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to (B, 2·H, 2·W, C/2)."""
        batch, height, width, channels = x.shape
        pixels = self.expand(x).view(batch, height, width, 2, 2, channels // 2)
        return self.norm(pixels.permute(0, 1, 3, 2, 4, 5).reshape(batch, 2 * height, 2 * width, channels // 2))


class Upsampling(nn.Module):
    """Half the channels, then bilinearly twice the size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(width, width // 2, bias=False), nn.LayerNorm(width // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to (B, 2·H, 2·W, C/2)."""
        return self.norm(_double(self.linear(x)))


class LastUpsampling(nn.Module):
    """Upsampling from 1/4 to the full size in two steps."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to (B, 4·H, 4·W, C)."""
        return self.norm(_double(self.linear2(_double(self.linear1(x)))))


class DecoderLayer(nn.Module):
    """Blocks at one size, and the way to the next."""

    def __init__(self, width: int, drop_paths: Sequence[float], last: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(DecoderBlock(width, rate) for rate in drop_paths)
        self.upsample = None if last else Upsampling(width)

    def forward(self, x: Tensor, recomputed: Recomputed) -> Tensor:
        """(B, H, W, C) to (B, 2·H, 2·W, C/2), or to the same in the last layer."""
        for block in self.blocks:
            x = recomputed(block)(x)
        return x if self.upsample is None else self.upsample(x)


class Decoder(nn.Module):
    """The decoder from the coarsest map to logits; the finer maps are added on the way up."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        rates = _rising(DECODER_DROP_PATH, 4 * DECODER_BLOCKS)  # of four levels; the coarsest has no blocks
        layers = [
            DecoderLayer(width * 2**level, rates[level * DECODER_BLOCKS :][:DECODER_BLOCKS], last=level == 0)
            for level in (2, 1, 0)
        ]
        self.layers = nn.ModuleList([PatchExpanding(8 * width), *layers])
        self.norm, self.up = nn.LayerNorm(width), LastUpsampling(width)
        self.classify = nn.Conv2d(width, num_classes, 1, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in")

    def forward(self, maps: Sequence[Tensor], recomputed: Recomputed) -> Tensor:
        """Four maps (B, h, w, C), fine to coarse, to logits (B, K, 4·h, 4·w) of the finest."""
        x = self.layers[0](maps[3])
        for layer, skip in zip(list(self.layers)[1:], maps[2::-1], strict=True):
            x = layer(_resize(x, skip.shape[1], skip.shape[2]) + skip, recomputed)
        logits: Tensor = self.classify(self.up(self.norm(x)).permute(0, 3, 1, 2))
        return logits


def _rising(last: float, count: int) -> list[float]:
    """Numbers from 0 to ``last`` in equal steps."""
    return [last * index / max(1, count - 1) for index in range(count)]


def _initialise_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)


def _double(x: Tensor) -> Tensor:
    return _resize(x, 2 * x.shape[1], 2 * x.shape[2])


def _resize(x: Tensor, height: int, width: int) -> Tensor:
    """(B, h, w, C) bilinearly to (B, H, W, C). A traced graph of any size cannot leave it out."""
    tracing = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]  # untyped in torch
    if x.shape[1:3] == (height, width) and not tracing:
        return x
    channels_first = x.permute(0, 3, 1, 2)
    return F.interpolate(channels_first, size=(height, width), mode="bilinear").permute(0, 2, 3, 1)
