"""Conversion of a plain vision transformer's tokens to maps at 1/4, 1/8, 1/16 and 1/32 of the image, and back.

The simple feature pyramid of ViTDet (Li et al., ECCV 2022, section 3): transposed convolutions enlarge the one grid of
tokens, max pooling reduces it. Here level n starts from the tokens of stage n (after 1/4, 2/4, 3/4 and all of the
blocks) instead of the last ones, because CIMNet exchanges features after each stage.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from cimnet.models.base import zero_conv
from cimnet.models.staged_encoder import TokenGrid

STRIDES = (4, 8, 16, 32)


class PyramidLevel(nn.Module):
    """One level: tokens (B, native, h, w + prefix) become a map (B, width, H/s, W/s), s = 4, 8, 16 or 32.

    Args:
        native: the encoder's width.
        width: channels of the map.
        level: 0..3, which sets s.
        tokens: how the encoder holds an image. H and W, multiples of 32, follow from its grid.
    """

    def __init__(self, native: int, width: int, level: int, tokens: TokenGrid) -> None:
        from timm.layers import LayerNorm2d  # here, as in encoder.py

        super().__init__()
        self.tokens = tokens
        self.norm = LayerNorm2d(native)
        steps: list[nn.Module] = []
        stride, channels = tokens.stride, native
        while stride > STRIDES[level]:
            if steps:
                steps += [LayerNorm2d(channels), nn.GELU()]
            steps.append(nn.ConvTranspose2d(channels, max(channels // 2, 1), 2, 2))
            stride, channels = stride // 2, max(channels // 2, 1)
        while stride < STRIDES[level]:
            steps.append(nn.MaxPool2d(2, 2))
            stride *= 2
        self.resize = nn.Sequential(*steps)
        self.project = nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """The tokens of stage ``level`` to its map."""
        grid = x[..., : x.shape[-1] - self.tokens.prefix]
        if self.tokens.patch != self.tokens.stride:
            size = self._whole(grid.shape[-2]), self._whole(grid.shape[-1])
            grid = F.interpolate(grid, size=size, mode="bilinear", align_corners=False)
        return self.project(self.resize(self.norm(grid)))

    def _whole(self, patches: int) -> int:
        """The grid's side at its nearest stride. The image's side is the multiple of 32 nearest to the patches'."""
        return (2 * self.tokens.patch * patches + 32) // 64 * (32 // self.tokens.stride)


class TokenWriteBack(nn.Module):
    """Turn a rectified map into the tokens that the encoder's next stage gets.

    The map cannot replace the tokens, because its size and width differ. So the *change* that rectification made is
    averaged over each patch and added to the patch's token through a 1×1 convolution, which starts at zero: training
    starts from an intact pretrained encoder. Tokens that belong to no place are left as they are; the attention of the
    next blocks carries the change to them.

    Args:
        native: the encoder's width.
        width: channels of the map.
        level: 0..2, which sets the map's stride.
        tokens: how the encoder holds an image.
    """

    def __init__(self, native: int, width: int, level: int, tokens: TokenGrid) -> None:
        super().__init__()
        self.tokens = tokens
        self.pooled, self.repeated = tokens.stride // STRIDES[level], STRIDES[level] // tokens.stride
        self.back = zero_conv(width, native)

    def forward(self, native: Tensor, projected: Tensor, rectified: Tensor) -> Tensor:
        """The tokens (B, native, h, w + prefix) and the maps (B, width, H/s, W/s) before and after rectification, to
        tokens of the same shape."""
        change = rectified - projected
        if self.pooled > 1:
            change = F.avg_pool2d(change, self.pooled)
        elif self.repeated > 1:
            change = F.interpolate(change, scale_factor=float(self.repeated), mode="nearest")
        if self.tokens.patch != self.tokens.stride:
            size = native.shape[-2], native.shape[-1] - self.tokens.prefix
            change = F.interpolate(change, size=size, mode="bilinear", align_corners=False)
        return native + F.pad(self.back(change), (0, self.tokens.prefix))
