"""Train a few weights of a pretrained encoder instead of all: freeze it, and put adapters into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from cimnet.models.base import zero_conv
from cimnet.models.staged_encoder import StagedEncoder
from cimnet.models.vit_encoder import TokenStage

Adapter = Literal["bottleneck", "lora"]
ATTENTION_INPUTS = ("qkv", "q", "kv", "q_proj", "k_proj", "v_proj")
"""Names of the linear layers that give queries, keys and values, in the networks that encoders come from."""


@dataclass(frozen=True)
class EncoderOptions:
    """The part of an encoder that is trained.

    Attributes:
        freeze: train none of the pretrained weights. The encoder stays in evaluation mode, too.
        adapter: with ``freeze``, train small modules inside the encoder. ``bottleneck`` (Houlsby et al., ICML 2019)
            puts one after each block of a plain vision transformer, or after each stage of another encoder. ``lora``
            (Hu et al., ICLR 2022) adds a change of low rank to each layer of queries, keys and values. Both start at
            zero, so that the encoder starts as it was pretrained.
        adapter_width: width of the bottleneck, or rank of the change.

    Raises:
        ValueError: an option that cannot be used.
    """

    freeze: bool = False
    adapter: Adapter | None = None
    adapter_width: int = 16

    def __post_init__(self) -> None:
        if self.adapter not in (None, *get_args(Adapter)):
            raise ValueError(f"encoder.adapter is '{self.adapter}', choose {' or '.join(get_args(Adapter))}")
        if self.adapter is not None and not self.freeze:
            raise ValueError("encoder.adapter needs encoder.freeze: true; without it, all weights are trained")
        if not isinstance(self.adapter_width, int) or self.adapter_width < 1:
            raise ValueError(f"encoder.adapter_width is {self.adapter_width}, it must be a whole number of at least 1")


class TokenAdapter(nn.Module):
    """A bottleneck for sequences (B, N, C): x + up(GELU(down(norm(x)))); ``up`` starts at zero."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.norm, self.down, self.up = nn.LayerNorm(channels), nn.Linear(channels, width), nn.Linear(width, channels)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) to the same shape."""
        return x + self.up(nn.functional.gelu(self.down(self.norm(x))))


class MapAdapter(nn.Module):
    """The same for maps (B, C, H, W), with 1×1 convolutions."""

    def __init__(self, channels: int, width: int) -> None:
        from timm.layers import LayerNorm2d  # here, as in encoder.py

        super().__init__()
        self.norm, self.down, self.up = LayerNorm2d(channels), nn.Conv2d(channels, width, 1), zero_conv(width, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return x + self.up(nn.functional.gelu(self.down(self.norm(x))))


class LowRankChange(nn.Module):
    """A weight (out, in) plus a change of rank ``rank``, which starts at zero; a parametrization for
    :mod:`torch.nn.utils.parametrize`."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.empty(rank, weight.shape[1], device=weight.device))
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank, device=weight.device))
        nn.init.kaiming_uniform_(self.down, a=5**0.5)

    def forward(self, weight: Tensor) -> Tensor:
        """The changed weight."""
        return weight + self.up @ self.down


def adapt_encoder(encoder: StagedEncoder, options: Mapping[str, Any] | None) -> StagedEncoder:
    """Freeze an encoder and add adapters, in place, as its :class:`EncoderOptions` say; None: train all of it.

    Raises:
        ValueError: an option that cannot be used, or ``lora`` for an encoder without attention.
    """
    chosen = EncoderOptions(**(options or {}))
    if not chosen.freeze:
        return encoder
    encoder.requires_grad_(False)
    encoder.frozen = True
    if chosen.adapter == "bottleneck":
        _add_bottlenecks(encoder, chosen.adapter_width)
    elif chosen.adapter == "lora":
        _add_low_rank_changes(encoder, chosen.adapter_width)
    encoder.eval()
    return encoder


def _add_bottlenecks(encoder: StagedEncoder, width: int) -> None:
    for n, (stage, channels) in enumerate(zip(encoder.stages, encoder.channels, strict=True)):
        if isinstance(stage, TokenStage):
            stage.adapters = nn.ModuleList(TokenAdapter(channels, width) for _ in stage.blocks)
        else:
            encoder.stages[n] = nn.Sequential(stage, MapAdapter(channels, width))


def _add_low_rank_changes(encoder: StagedEncoder, rank: int) -> None:
    layers = [
        module
        for name, module in encoder.named_modules()
        if isinstance(module, nn.Linear) and name.rpartition(".")[2] in ATTENTION_INPUTS
    ]
    if not layers:
        raise ValueError("encoder.adapter is 'lora', but the encoder has no attention; choose 'bottleneck'")
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", LowRankChange(layer.weight, rank))
