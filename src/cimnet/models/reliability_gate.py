"""A gate that weights three predictions by place: from both sensors, RGB alone and thermal alone. Not in the paper.

A fused prediction falls below that of the better sensor when the other one fails in a way that training did not show.
The gate weighs the three predictions at each pixel by evidence that they give themselves: how sure each one is, and
how far it agrees with the others, at the pixel, around it and over the whole image. It never sees the images, so it
cannot learn what a defect of its data looks like. It does not see which classes are predicted either: a gate that did
learned the scenes it was fitted on, and cost 3 points on whole pairs (docs/notebook/cimnetx.md).

Trained together with the predictions, it learns to believe the pair, because the pair is right wherever training went.
So it is fitted afterwards, on pairs that the predictions were not trained on.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PREDICTIONS = 3
"""From the pair, from RGB alone, from thermal alone."""
NUMBERS = 3 * PREDICTIONS + PREDICTIONS
"""Largest probability, margin to the next one and entropy of each prediction; the agreement of each two."""
EVIDENCE = 3 * NUMBERS
"""These numbers at a place, around it and of the whole image."""
AROUND = 8
"""Places along each side of what counts as around: 32 pixels of the image, to whose multiples images are padded."""
LOWEST = -1e4
"""Score of a prediction without weight; float16 can hold it."""
FIRST_WEIGHTS = (0.9, 0.05, 0.05)
"""Of the three, everywhere, until the gate is fitted: about those of a fitted gate on whole pairs."""


class ReliabilityGate(nn.Module):
    """Mix three predictions by weights that sum to 1 at each pixel: Σᵢ wᵢ·log pᵢ. The weights are a softmax over linear
    functions of the evidence.

    A sum of logarithms keeps the pair's borders where the pair has most weight. One of probabilities, Σᵢ wᵢ·pᵢ, at a
    quarter of the resolution, blurred them and cost 2 points (docs/notebook/cimnetx.md).
    """

    def __init__(self) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(EVIDENCE, PREDICTIONS, 1)
        nn.init.zeros_(self.weigh.weight)
        assert self.weigh.bias is not None
        with torch.no_grad():
            self.weigh.bias.copy_(torch.tensor(FIRST_WEIGHTS).log())

    def forward(
        self, pair: Tensor, rgb: Tensor, thermal: Tensor, shown_rgb: Tensor | None, shown_thermal: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Mix logits.

        Args:
            pair, rgb, thermal: logits (B, K, h, w) from both sensors and from each alone.
            shown_rgb, shown_thermal: bool, (B, 1, h, w) or (B, 1, 1, 1), where that image shows anything; None:
                everywhere. Where one of the two shows nothing, the other one alone has weight.

        Returns:
            The mixture (B, K, h, w), which is logits, and the weights (B, 3, h, w) of pair, RGB and thermal.
        """
        logs, evidence = gather_evidence(pair, rgb, thermal)
        scores = self.weigh(evidence.to(self.weigh.weight.dtype)).to(evidence.dtype)
        weights = F.softmax(_excluded(scores, shown_rgb, shown_thermal), dim=1)
        return (weights[:, :, None] * logs).sum(1).to(pair.dtype), weights


def gather_evidence(pair: Tensor, rgb: Tensor, thermal: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities and what they tell of their own reliability, given logits (B, K, h, w).

    Returns:
        Log-probabilities (B, 3, K, h, w), and evidence (B, `EVIDENCE`, h, w): at a place (mean of 3×3), around it,
        and of the whole image. Both at least in float32.
    """
    precise = torch.promote_types(pair.dtype, torch.float32)
    logs = [F.log_softmax(logits.to(precise), dim=1) for logits in (pair, rgb, thermal)]
    probabilities = [log.exp() for log in logs]
    found = torch.cat([*map(_certainty, probabilities, logs), _agreement(*probabilities)], dim=1)
    near = F.avg_pool2d(found, 3, stride=1, padding=1, count_include_pad=False)
    around = F.interpolate(F.avg_pool2d(found, AROUND), size=found.shape[-2:], mode="bilinear", align_corners=False)
    whole = found.mean((2, 3), keepdim=True).expand_as(found)
    return torch.stack(logs, dim=1), torch.cat((near, around, whole), dim=1)


def _certainty(probabilities: Tensor, logs: Tensor) -> Tensor:
    """Largest probability, margin to the next smaller one and entropy as a share of the largest possible one:
    (B, 3, h, w)."""
    first = probabilities.amax(1, keepdim=True)
    second = torch.where(probabilities < first, probabilities, 0.0).amax(1, keepdim=True)  # top-k is slow in TensorRT
    entropy = -(probabilities * logs).sum(1, keepdim=True) / math.log(probabilities.shape[1])
    return torch.cat((first, first - second, entropy), dim=1)


def _agreement(pair: Tensor, rgb: Tensor, thermal: Tensor) -> Tensor:
    """Probability that two draws of two predictions are equal, for each two: (B, 3, h, w)."""
    return torch.stack([(a * b).sum(1) for a, b in ((pair, rgb), (pair, thermal), (rgb, thermal))], dim=1)


def _excluded(scores: Tensor, shown_rgb: Tensor | None, shown_thermal: Tensor | None) -> Tensor:
    """Scores of pair, RGB and thermal (B, 3, h, w), so low that what an image cannot know gets no weight. Where neither
    shows anything, the pair's stays."""
    if shown_rgb is None and shown_thermal is None:
        return scores
    everywhere = torch.ones_like(scores[:, :1], dtype=torch.bool)
    rgb, thermal = (everywhere if shown is None else everywhere & shown for shown in (shown_rgb, shown_thermal))
    both_or_none = (rgb & thermal) | ~(rgb | thermal)  # TensorRT has no == of booleans
    usable = torch.cat((both_or_none, rgb, thermal), dim=1)
    return scores.masked_fill(~usable, LOWEST)
