"""MLP decoder (paper III-E), after SegFormer (Xie et al., NeurIPS 2021), with less arithmetic for the same numbers.

The paper embeds each map with a 1×1 convolution Lₙ, upsamples it, concatenates the four and mixes them with another
1×1 convolution M = [W₁ W₂ W₃ W₄]. Up to the normalisation all of this is linear, and bilinear upsampling commutes with
a 1×1 convolution: it is the same for every channel, and its weights sum to 1, so a bias passes through. Hence

    M · concat(up(Lₙ xₙ + bₙ)) = Σₙ up((Wₙ Lₙ) xₙ) + Σₙ Wₙ bₙ

and the mix of four maps at full size becomes a product of small matrices. At 480×640 and the paper's widths, 1.2 GMAC
and 0.3 for the products take the place of 21.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MLPDecoder(nn.Module):
    """Project four maps to one width, upsample them to the largest, mix, and classify (paper III-E).

    The weights are those of the layers as published: ``project.n`` (Lₙ), ``mix.0`` (M), ``mix.1`` (normalisation) and
    ``classify``. What runs is the sum at the head of this module. The products Wₙ Lₙ are taken in each call, so they
    follow the weights wherever those change. The decoder is also the head of SegFormer, CMX and CMNeXt.

    Args:
        channels: channels of the maps, the largest map first.
        embedding: channels inside the decoder (the paper's: 512).
        num_classes: K, the number of classes.
        dropout: probability, 0 to 1, that a whole channel is dropped before the classifier.
        mix_bias: whether the mixing convolution has a bias, as in CMX.
        deepest_first: whether the mixing convolution takes the smallest map first, as in SegFormer, CMX and CMNeXt.
        eps: epsilon of the batch normalisation.

    Attributes:
        as_published: whether to run the layers one by one on upsampled maps, as the paper writes them, to count their
            cost. The output is the same up to rounding.

    Raises:
        ValueError: ``embedding`` is below 1.
    """

    as_published = False

    def __init__(
        self,
        channels: Sequence[int],
        embedding: int,
        num_classes: int,
        dropout: float = 0.1,
        *,
        mix_bias: bool = False,
        deepest_first: bool = False,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        if embedding < 1:
            raise ValueError(f"decoder_channels is {embedding}, it must be at least 1")
        self.deepest_first = deepest_first
        self.project = nn.ModuleList(nn.Conv2d(c, embedding, 1) for c in channels)
        self.mix = nn.Sequential(
            nn.Conv2d(embedding * len(channels), embedding, 1, bias=mix_bias),
            nn.BatchNorm2d(embedding, eps=eps),
            nn.ReLU(inplace=True),
        )
        self.dropout = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(embedding, num_classes, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Maps (B, Cₙ, Hₙ, Wₙ), largest first, to logits (B, K, H₁, W₁)."""
        mixed = self._mix_upsampled(features) if self.as_published else mix_projected(features, *self.products())
        _, norm, activation = self.mix
        return self.classify(self.dropout(activation(norm(mixed))))

    def products(self) -> tuple[list[Tensor], Tensor]:
        """Wₙ Lₙ for each map, (E, Cₙ, 1, 1), and the bias Σₙ Wₙ bₙ (E,) with that of the mix, in the weights'
        own precision also under autocast."""
        mix: Any = self.mix[0]
        with torch.autocast(mix.weight.device.type, enabled=False):
            parts = mix.weight.flatten(1).chunk(len(self.project), dim=1)  # Wₙ, (E, E)
            pairs: list[tuple[Tensor, Any]] = list(
                zip(parts[::-1] if self.deepest_first else parts, self.project, strict=True)
            )
            weights = [(part @ layer.weight.flatten(1))[:, :, None, None] for part, layer in pairs]
            bias = torch.stack([part @ layer.bias for part, layer in pairs]).sum(0)
            return weights, bias if mix.bias is None else bias + mix.bias

    def folded(self) -> FoldedDecoder:
        """The same decoder for inference, with the products as weights."""
        return FoldedDecoder(*self.products(), self.mix[1:], self.classify)

    def _mix_upsampled(self, features: Sequence[Tensor]) -> Tensor:
        projected = [project(x) for project, x in zip(self.project, features, strict=True)]
        projected[1:] = [_upsample(x, projected[0]) for x in projected[1:]]
        mixed: Tensor = self.mix[0](torch.cat(projected[::-1] if self.deepest_first else projected, dim=1))
        return mixed


class FoldedDecoder(nn.Module):
    """The decoder that :meth:`MLPDecoder.folded` returns; it is called in the same way.

    Args:
        weights, bias: from :meth:`MLPDecoder.products`.
        norm: normalisation and activation.
        classify: the last convolution.
    """

    def __init__(self, weights: Sequence[Tensor], bias: Tensor, norm: nn.Module, classify: nn.Conv2d) -> None:
        super().__init__()
        self.project = nn.ParameterList(weight.detach() for weight in weights)
        self.bias = nn.Parameter(bias.detach())
        self.norm, self.classify = norm, classify

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Maps (B, Cₙ, Hₙ, Wₙ), largest first, to logits (B, K, H₁, W₁)."""
        logits: Tensor = self.classify(self.norm(mix_projected(features, list(self.project), self.bias)))
        return logits


def mix_projected(features: Sequence[Tensor], weights: Sequence[Tensor], bias: Tensor) -> Tensor:
    """Σₙ up(Kₙ xₙ) + bias: project maps to one width at their own sizes, upsample them to the first one's, add them.

    Args:
        features: (B, Cₙ, Hₙ, Wₙ), the largest first.
        weights: Kₙ (E, Cₙ, 1, 1).
        bias: (E,).

    Returns:
        (B, E, H₁, W₁)
    """
    mixed = F.conv2d(features[0], weights[0], bias)  # upsampled, a constant is that constant
    for x, weight in zip(features[1:], weights[1:], strict=True):
        mixed = mixed + _upsample(F.conv2d(x, weight), mixed)
    return mixed


def _upsample(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)
