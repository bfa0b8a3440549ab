"""Plain vision transformers of timm (ViT, DeiT III, DINOv2, DINOv3, EVA, CLIP, SigLIP) as encoders of four stages.

A stage is a quarter of the blocks. Its output is the residual stream: the tokens as they are, without a norm, so
that the four stages one after another compute what the whole network computes. Between two stages the tokens have the
layout of :class:`cimnet.models.staged_encoder.TokenGrid`, class token and registers included. The network's last norm
and its head are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cimnet.errors import ConfigError
from cimnet.models.positions import resample_positions
from cimnet.models.staged_encoder import FirstStage, StagedEncoder, TokenGrid

MODULES = ("timm.models.vision_transformer", "timm.models.deit", "timm.models.eva")
"""The files of timm that hold such networks."""


class TokenEmbedding(nn.Module):
    """Embedding of an image (B, 3, H, W): the tokens (B, C, h, w + prefix) that the first block gets.

    The image is resized to the nearest whole number of patches, and the position embeddings to the grid.

    Args:
        network: a ``VisionTransformer`` or ``Eva`` of timm, made with ``dynamic_img_size=True``.
    """

    pos_embed: Tensor | None
    cls_token: Tensor | None
    reg_token: Tensor | None

    def __init__(self, network: Any, tokens: TokenGrid) -> None:
        super().__init__()
        self.tokens = tokens
        self.patch_embed = network.patch_embed
        self.norm_pre = getattr(network, "norm_pre", nn.Identity())  # EVA of older timm has none
        self.grid_size: tuple[int, int] = network.patch_embed.grid_size
        self.positions_are_of_patches = network.no_embed_class
        for name in ("pos_embed", "cls_token", "reg_token"):
            self.register_parameter(name, getattr(network, name, None))

    def forward(self, x: Tensor) -> Tensor:
        """Embed the patches, add their positions, and put class token and registers beside them."""
        patch = self.tokens.patch
        if 32 % patch:
            sides = ((side + patch // 2) // patch * patch for side in x.shape[-2:])
            x = F.interpolate(x, size=tuple(sides), mode="bilinear", align_corners=False)
        grid = self.patch_embed(x).permute(0, 3, 1, 2)
        prefix = [token.expand(x.shape[0], -1, -1) for token in (self.cls_token, self.reg_token) if token is not None]
        others = torch.cat(prefix, 1) if prefix else None
        if self.pos_embed is not None:
            before = 0 if self.positions_are_of_patches else self.tokens.prefix
            positions = self.pos_embed[:, before:].transpose(1, 2).reshape(1, -1, *self.grid_size)
            grid = grid + resample_positions(positions, grid.shape[-2], grid.shape[-1])
            if others is not None and before:
                others = others + self.pos_embed[:, :before]
        together = grid.flatten(2).transpose(1, 2)
        together = together if others is None else torch.cat((others, together), 1)
        return to_grid(self.norm_pre(together), self.tokens.prefix, grid.shape[-2], grid.shape[-1])


def rotary_positions(rope: Any, height: int, width: int) -> Tensor:
    """Output of a rotary embedding of timm for a grid: (height · width, 2 · width of a head).

    That of DINOv3 turns the sizes into Python numbers, which would fix them in a graph of :mod:`torch.export`. In that
    case, its coordinates are computed here: the centres of the patches, each axis scaled to −1..1.
    """
    known = type(rope).__name__ == "RotaryEmbeddingDinoV3" and rope.normalize_coords == "separate"
    if not (known and torch.compiler.is_exporting()):
        return rope.get_embed(shape=(height, width))
    axes = []
    for side in (height, width):
        centers = torch.arange(side, device=rope.periods.device, dtype=torch.float32) + 0.5
        axes.append(2 * centers / torch.ones_like(centers).sum() - 1)
    coordinates = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, 1)
    return torch.cat(rope._get_pos_embed_from_coords(coordinates), -1)


class TokenStage(nn.Module):
    """Some of the blocks of a vision transformer.

    Args:
        blocks: they take a sequence (B, N, C), and ``rope`` where there is one.
        prefix: number of tokens that belong to no place.
        rope: gives the rotary position embedding of a grid; None for networks that add positions to the tokens.
        embed: of the first stage, from the image to the tokens.

    Attributes:
        adapters: after each block a module (B, N, C) → (B, N, C), if there are any.
    """

    def __init__(
        self, blocks: Sequence[nn.Module], prefix: int, rope: Any = None, embed: TokenEmbedding | None = None
    ) -> None:
        super().__init__()
        self.embed = nn.Identity() if embed is None else embed
        self.blocks = nn.ModuleList(blocks)
        self.prefix, self.rope = prefix, rope
        self.adapters = nn.ModuleList()

    def forward(self, x: Tensor) -> Tensor:
        """Tokens, or an image, to tokens (B, C, h, w + prefix)."""
        x = self.embed(x)
        height, width = x.shape[-2], x.shape[-1] - self.prefix
        options = {} if self.rope is None else {"rope": rotary_positions(self.rope, height, width)}
        x = to_sequence(x, self.prefix)
        for n, block in enumerate(self.blocks):
            x = block(x, **options)
            if self.adapters:
                x = self.adapters[n](x)
        return to_grid(x, self.prefix, height, width)


class _FirstTokenStage(FirstStage, TokenStage): ...


def cut_vit(name: str, network: Any) -> StagedEncoder:
    """Cut a vision transformer of timm into four stages.

    Args:
        name: for messages.
        network: from one of :data:`MODULES`, made with ``dynamic_img_size=True`` and ``num_classes=0``.

    Raises:
        ConfigError: the network is of a kind that cannot be cut.
    """
    from timm.models.eva import Eva
    from timm.models.vision_transformer import VisionTransformer

    depth, patch = len(network.blocks), _patch(network)
    reason = ""
    if type(network) not in (VisionTransformer, Eva):
        reason = f"its class {type(network).__name__} is not a plain vision transformer"
    elif getattr(network, "rope_mixed", False):
        reason = "it learns rotary positions for each block"
    elif depth < 4:
        reason = f"it has {depth} blocks, and at least 4 are needed"
    elif not 4 <= patch <= 32:
        reason = f"its patches of {patch} pixels do not lie in 4..32"
    if reason:
        raise ConfigError(f"encoder '{name}' cannot be run stage by stage: {reason}; choose another")
    tokens = TokenGrid(patch, network.num_prefix_tokens)
    ends = [round(depth * quarter / 4) for quarter in range(5)]
    rope = getattr(network, "rope", None)
    stages: list[nn.Module] = []
    for start, end in pairwise(ends):
        part = (network.blocks[start:end], tokens.prefix, deepcopy(rope))  # a copy: a file holds each tensor once
        stages.append(TokenStage(*part) if stages else _FirstTokenStage(*part, TokenEmbedding(network, tokens)))
    config = network.pretrained_cfg
    return StagedEncoder(stages, (network.embed_dim,) * 4, config["mean"], config["std"], tokens)


def _patch(network: Any) -> int:
    """Side of a patch in pixels, 0 if patches are not square."""
    height, width = network.patch_embed.patch_size
    return int(height) if height == width else 0


def to_sequence(x: Tensor, prefix: int) -> Tensor:
    """Tokens (B, C, h, w + prefix) as a sequence (B, prefix + h·w, C), as timm's blocks take it."""
    width = x.shape[-1] - prefix
    patches = x[..., :width].flatten(2).transpose(1, 2)
    return torch.cat((x[:, :, 0, width:].transpose(1, 2), patches), 1) if prefix else patches


def to_grid(x: Tensor, prefix: int, height: int, width: int) -> Tensor:
    """Undo :func:`to_sequence`."""
    x = x.transpose(1, 2)
    grid = x[..., prefix:].reshape(x.shape[0], -1, height, width)
    return torch.cat((grid, x[:, :, None, :prefix].expand(-1, -1, height, -1)), 3) if prefix else grid
