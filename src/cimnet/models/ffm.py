"""Feature fusion module, FFM (paper III-D): cross-attention between the streams, then a mixed channel embedding.

The paper names the two steps and cites CMX (Zhang et al., T-ITS 2023) for the setting; the parameter count of its
Table II fits this form: 17C² + 26C at width C.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CrossAttention(nn.Module):
    """Exchange global context over channels. Cost is linear in the number of positions.

    Each stream summarises itself in a (C/heads)×(C/heads) context per head, softmax-normalised; the *other* stream
    reads it.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels cannot be split over {heads} attention heads")
        self.heads = heads
        self.temperature = (channels // heads) ** -0.5
        self.key_value_rgb = nn.Linear(channels, 2 * channels, bias=False)
        self.key_value_thermal = nn.Linear(channels, 2 * channels, bias=False)

    def _split(self, x: Tensor) -> Tensor:
        batch, positions, channels = x.shape
        return x.view(batch, positions, self.heads, channels // self.heads).transpose(1, 2)

    def _context(self, x: Tensor, key_value: nn.Linear) -> Tensor:
        key, value = (self._split(t) for t in key_value(x).chunk(2, dim=-1))
        dtype = key.dtype
        with torch.autocast(x.device.type, enabled=False):  # a sum over all positions overflows float16
            if dtype in (torch.float16, torch.bfloat16):
                key, value = key.float(), value.float()
            return torch.softmax((key * self.temperature).transpose(-2, -1) @ value, dim=-2).to(dtype)

    def forward(self, rgb: Tensor, thermal: Tensor) -> tuple[Tensor, Tensor]:
        """Two sequences (B, N, C) to two of the same shape."""
        context_rgb = self._context(rgb, self.key_value_rgb)
        context_thermal = self._context(thermal, self.key_value_thermal)
        read_rgb = self._split(rgb) @ context_thermal
        read_thermal = self._split(thermal) @ context_rgb
        return read_rgb.transpose(1, 2).flatten(2), read_thermal.transpose(1, 2).flatten(2)


class ChannelEmbedding(nn.Module):
    """2C channels back to C: a 1×1 skip beside 1×1, depthwise 3×3, 1×1; both normalised."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.skip = nn.Conv2d(2 * channels, channels, 1, bias=False)
        self.mix = nn.Sequential(
            nn.Conv2d(2 * channels, channels, 1),
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 1),
            nn.BatchNorm2d(channels),
        )
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 2C, H, W) to (B, C, H, W)."""
        return self.norm(self.skip(x) + self.mix(x))


class FFM(nn.Module):
    """Fuse the rectified streams of one stage into one map (paper III-D).

    Args:
        channels: C of both maps, a multiple of ``heads``.
        heads: number of attention heads.

    Raises:
        ValueError: ``channels`` is not a multiple of ``heads``.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.project_rgb = nn.Linear(channels, 2 * channels)
        self.project_thermal = nn.Linear(channels, 2 * channels)
        self.attention = CrossAttention(channels, heads)
        self.merge_rgb = nn.Linear(2 * channels, channels)
        self.merge_thermal = nn.Linear(2 * channels, channels)
        self.norm_rgb = nn.LayerNorm(channels)
        self.norm_thermal = nn.LayerNorm(channels)
        self.embed = ChannelEmbedding(channels)

    def forward(self, rgb: Tensor, thermal: Tensor) -> Tensor:
        """Fuse two maps (B, C, H, W) into one (B, C, H, W)."""
        height, width = rgb.shape[-2:]
        rgb, thermal = (x.flatten(2).transpose(1, 2) for x in (rgb, thermal))
        keep_rgb, ask_rgb = torch.relu(self.project_rgb(rgb)).chunk(2, dim=-1)
        keep_thermal, ask_thermal = torch.relu(self.project_thermal(thermal)).chunk(2, dim=-1)
        read_rgb, read_thermal = self.attention(ask_rgb, ask_thermal)
        rgb = self.norm_rgb(rgb + self.merge_rgb(torch.cat((keep_rgb, read_rgb), dim=-1)))
        thermal = self.norm_thermal(thermal + self.merge_thermal(torch.cat((keep_thermal, read_thermal), dim=-1)))
        both = torch.cat((rgb, thermal), dim=-1).transpose(1, 2)
        return self.embed(both.reshape(both.shape[0], both.shape[1], height, width))
