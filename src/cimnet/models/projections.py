"""Project from an encoder's own widths to those of the modules between two encoders, and back."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from cimnet.models.base import zero_conv
from cimnet.models.staged_encoder import StagedEncoder
from cimnet.models.token_pyramid import PyramidLevel, TokenWriteBack

PAPER_WIDTHS = (64, 128, 320, 512)
"""C of the four stages; those of MiT-B1 to B5, for which nothing is projected."""
HEADS = (1, 2, 5, 8)
"""Attention heads of the four stages' FFM."""


def pair_widths(native: Sequence[int], widths: Sequence[int]) -> list[tuple[int, int]]:
    """The encoder's width and the modules' width of each stage.

    Raises:
        ValueError: ``widths`` are not four positive multiples of :data:`HEADS`.
    """
    if len(widths) != 4 or any(width < 1 or width % heads for width, heads in zip(widths, HEADS, strict=True)):
        raise ValueError(f"widths {tuple(widths)} must be four positive multiples of the attention heads {HEADS}")
    return list(zip(native, widths, strict=True))


def input_projection(native: int, width: int) -> nn.Module:
    """Return the projection of an encoder's map (B, native, H, W) to (B, width, H, W): a 1×1 convolution and batch
    normalisation, or the identity where the widths agree."""
    if native == width:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(native, width, 1, bias=False), nn.BatchNorm2d(width))


class WriteBack(nn.Module):
    """Turn a rectified map into the input of the encoder's next stage.

    Where the widths agree, that is the rectified map itself. Elsewhere, the *change* that rectification made (after
    stage 1 also CIPA's attention) is added to the encoder's own map through a 1×1 convolution. It starts at zero, so
    that training starts from an intact pretrained encoder.
    """

    def __init__(self, native: int, width: int) -> None:
        super().__init__()
        self.back = None if native == width else zero_conv(width, native)

    def forward(self, native: Tensor, projected: Tensor, rectified: Tensor) -> Tensor:
        """The encoder's map (B, native, H, W) and the maps (B, width, H, W) before and after rectification, to
        (B, native, H, W)."""
        return rectified if self.back is None else native + self.back(rectified - projected)


def input_projections(encoder: StagedEncoder, widths: Sequence[int]) -> nn.ModuleList:
    """The modules that bring each stage's output to a map of that stage's width: :func:`input_projection`, or, for a
    plain vision transformer, a :class:`cimnet.models.token_pyramid.PyramidLevel`."""
    tokens, pairs = encoder.tokens, pair_widths(encoder.channels, widths)
    if tokens is None:
        return nn.ModuleList(input_projection(*pair) for pair in pairs)
    return nn.ModuleList(PyramidLevel(*pair, level, tokens) for level, pair in enumerate(pairs))


def write_backs(encoder: StagedEncoder, widths: Sequence[int]) -> nn.ModuleList:
    """The modules that write back into an encoder after each stage except the last: :class:`WriteBack`, or, for a plain
    vision transformer, :class:`cimnet.models.token_pyramid.TokenWriteBack`."""
    tokens, pairs = encoder.tokens, pair_widths(encoder.channels, widths)[:3]
    if tokens is None:
        return nn.ModuleList(WriteBack(*pair) for pair in pairs)
    return nn.ModuleList(TokenWriteBack(*pair, level, tokens) for level, pair in enumerate(pairs))
