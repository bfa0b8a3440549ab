"""MLP decoder (paper III-E), after SegFormer (Xie et al., NeurIPS 2021)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MLPDecoder(nn.Module):
    """Project four maps to one width, upsample to the largest, mix, classify.

    Args:
        channels: widths of the four maps.
        embedding: width inside the decoder (paper: 512).
        num_classes: K.
        dropout: probability that a whole channel is dropped before the classifier.

    Raises:
        ValueError: the embedding is below 1.
    """

    def __init__(self, channels: Sequence[int], embedding: int, num_classes: int, dropout: float = 0.1) -> None:
        super().__init__()
        if embedding < 1:
            raise ValueError(f"decoder_channels is {embedding}, it must be at least 1")
        self.project = nn.ModuleList(nn.Conv2d(c, embedding, 1) for c in channels)
        self.mix = nn.Sequential(
            nn.Conv2d(embedding * len(channels), embedding, 1, bias=False),
            nn.BatchNorm2d(embedding),
            nn.ReLU(inplace=True),
        )
        self.dropout = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(embedding, num_classes, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Four maps, largest first, to logits (B, K, H/4, W/4)."""
        size = features[0].shape[-2:]
        projected = [project(x) for project, x in zip(self.project, features, strict=True)]
        projected[1:] = [F.interpolate(x, size=size, mode="bilinear", align_corners=False) for x in projected[1:]]
        return self.classify(self.dropout(self.mix(torch.cat(projected, dim=1))))
