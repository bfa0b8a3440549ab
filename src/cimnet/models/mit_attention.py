"""Self-attention of the Mix Transformer (Xie et al., NeurIPS 2021) by torch's fused operator."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


class ReducedAttention(nn.Module):
    """Attention whose keys and values come from a map reduced along both axes.

    The same numbers as segmentation_models_pytorch's module, whose layers it takes over under their names. The matrix
    of attention weights, (B, heads, N, N / R²), is never written: at 480×640 stage 1 alone would write it five times.

    Args:
        attention: module of segmentation_models_pytorch with ``q``, ``kv``, ``sr``, ``norm`` and ``proj``.
    """

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.q, self.kv, self.proj = attention.q, attention.kv, attention.proj
        self.sr, self.norm = attention.sr, attention.norm
        self.heads, self.scale, self.reduced = attention.num_heads, attention.scale, attention.sr_ratio > 1

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """Tokens (B, height · width, C), row by row, to tokens of the same shape."""
        batch, count, channels = x.shape
        query = self._split(self.q(x))
        if self.reduced:
            image = x.transpose(1, 2).reshape(batch, channels, height, width)
            x = self.norm(self.sr(image).flatten(2).transpose(1, 2))
        key, value = (self._split(part) for part in self.kv(x).chunk(2, dim=-1))
        read = F.scaled_dot_product_attention(query, key, value, scale=self.scale)
        out: Tensor = self.proj(read.transpose(1, 2).reshape(batch, count, channels))
        return out

    def _split(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)  # (B, heads, N, C / heads)
