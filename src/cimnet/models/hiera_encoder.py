"""Hiera (Ryali et al., ICML 2023) and the Hiera of SAM 2, of timm, as encoders of four stages.

Both are hierarchical, but their networks are one list of blocks, and the first block of a stage halves the map. Between
two stages the maps are (B, C, H, W) as those of all other encoders.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch.nn.functional as F
from timm.models import hiera, hieradet_sam2
from torch import Tensor, nn

from cimnet.models.positions import resample_positions
from cimnet.models.staged_encoder import FirstStage, StagedEncoder

MODULES = (hiera.__name__, hieradet_sam2.__name__)
"""The files of timm that hold such networks."""
STEP = (2, 2)


class HieraEmbedding(nn.Module):
    """Embedding of an image (B, 3, H, W) in a map (B, C, H/4, W/4) with positions of any size; H and W are multiples of
    32."""

    pos_embed: Tensor
    pos_embed_win: Tensor | None
    pos_embed_window: Tensor | None

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.proj = network.patch_embed.proj
        for name in ("pos_embed", "pos_embed_win", "pos_embed_window"):
            self.register_parameter(name, getattr(network, name, None))
        self.grid_size: tuple[int, int] | None = None
        if self.pos_embed.ndim == 3:  # (1, h·w, C)
            self.grid_size = tuple(network.tokens_spatial_shape)

    def forward(self, x: Tensor) -> Tensor:
        """Embed the patches and add their positions."""
        x = self.proj(x)
        height, width = x.shape[-2], x.shape[-1]
        if self.pos_embed_window is not None:  # SAM 2
            positions = F.interpolate(self.pos_embed, size=(height, width), mode="bicubic", align_corners=False)
            return x + positions + _tiled(self.pos_embed_window, height, width)
        positions = self.pos_embed
        if self.grid_size is not None:
            positions = positions.transpose(1, 2).reshape(1, -1, *self.grid_size)
        positions = resample_positions(positions, height, width)
        return x + (positions if self.pos_embed_win is None else positions + _tiled(self.pos_embed_win, height, width))


class HieraStage(nn.Module):
    """Blocks of a Hiera that work on tokens in the order of its pooling.

    Args:
        blocks: the first one halves the map if ``pooled`` is less than ``pooled_before``.
        pooled_before, pooled: how many times the map will still be halved, at the stage's input and at its output.
    """

    def __init__(self, blocks: Sequence[nn.Module], pooled_before: int, pooled: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.pooled_before, self.pooled = pooled_before, pooled

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to map."""
        height, width = x.shape[-2], x.shape[-1]
        halved = 2 ** (self.pooled_before - self.pooled)
        x = hiera.Unroll((height, width), (1, 1), [STEP] * self.pooled_before)(x.flatten(2).transpose(1, 2))
        x = self.blocks(x)
        size = (height // halved, width // halved)
        return hiera.Reroll(size, (1, 1), [STEP] * self.pooled, [0], 0)(x, 0).permute(0, 3, 1, 2).contiguous()


class SAM2Stage(nn.Module):
    """Blocks of the Hiera of SAM 2, which work on (B, H, W, C)."""

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to map."""
        x = self.blocks(x.permute(0, 2, 3, 1))
        return x.permute(0, 3, 1, 2).contiguous()


class _FirstSequential(FirstStage, nn.Sequential): ...


def cut_hiera(network: Any) -> StagedEncoder:
    """Cut a Hiera of timm, from one of :data:`MODULES` and made with ``num_classes=0``, into its four stages."""
    stages: list[nn.Module] = []
    for n, (start, end) in enumerate(pairwise([-1, *network.stage_ends])):
        blocks = network.blocks[start + 1 : end + 1]
        if isinstance(network, hiera.Hiera):
            stage: nn.Module = HieraStage(blocks, network.q_pool - max(n - 1, 0), network.q_pool - n)
        else:
            stage = SAM2Stage(blocks)
        stages.append(stage if n else _FirstSequential(HieraEmbedding(network), stage))
    channels = [info["num_chs"] for info in network.feature_info]
    return StagedEncoder(stages, channels, network.pretrained_cfg["mean"], network.pretrained_cfg["std"])


def _tiled(window: Tensor, height: int, width: int) -> Tensor:
    """(1, C, h, w) repeated to (1, C, height, width)."""
    return window.tile((height // window.shape[-2], width // window.shape[-1]))
