"""A gate that weights three predictions by place: from both sensors, RGB alone and thermal alone. Not in the paper.

A fused prediction falls below that of the better sensor when the other one fails in a way that training did not show.
The gate weighs the three predictions at each pixel by evidence that they give themselves: how sure each one is, and
how far it agrees with the others, at the pixel, around it and over the whole image. It never sees the images, so it
cannot learn what a defect of its data looks like.

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
EVIDENCE = 3 * PREDICTIONS + PREDICTIONS
"""Largest probability, margin to the next one and entropy of each prediction; the agreement of each two."""
AROUND = 8
"""Places along each side of what counts as around: 32 pixels of the image, to whose multiples images are padded."""
LEAST = 1e-12
"""Smallest probability in the mixture, so that its logarithm is finite."""
FIRST_WEIGHTS = (0.5, 0.25, 0.25)
"""Of the three, everywhere, until the gate is fitted."""


class ReliabilityGate(nn.Module):
    """Mix three predictions by weights that sum to 1 at each pixel. The mixture is one of probabilities, Σᵢ wᵢ·pᵢ. The
    share of an absent sensor goes to the others.

    Args:
        num_classes: K, the number of classes.
        width: number of channels inside the gate.
    """

    def __init__(self, num_classes: int, width: int = 32) -> None:
        super().__init__()
        self.near = nn.Conv2d(PREDICTIONS * num_classes + EVIDENCE, width, 3, padding=1)
        self.around = nn.Conv2d(EVIDENCE, width, 3, padding=1)
        self.whole = nn.Conv2d(EVIDENCE, width, 1)
        self.weigh = nn.Conv2d(width, PREDICTIONS, 1)
        nn.init.zeros_(self.weigh.weight)
        assert self.weigh.bias is not None
        with torch.no_grad():
            self.weigh.bias.copy_(torch.tensor(FIRST_WEIGHTS).log())

    def forward(
        self, pair: Tensor, rgb: Tensor, thermal: Tensor, has_rgb: Tensor | None, has_thermal: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Mix logits.

        Args:
            pair, rgb, thermal: logits (B, K, h, w) from both sensors and from each alone.
            has_rgb, has_thermal: (B,) bool, whose image is there; None: all. What an absent sensor says has no weight.

        Returns:
            Logarithms of the mixed probabilities (B, K, h, w), which are logits, and the weights (B, 3, h, w) of pair,
            RGB and thermal.
        """
        precise = torch.promote_types(pair.dtype, torch.float32)
        logs = [F.log_softmax(logits.to(precise), dim=1) for logits in (pair, rgb, thermal)]
        probabilities = [log.exp() for log in logs]
        evidence = torch.cat([*map(_certainty, probabilities, logs), _agreement(*probabilities)], dim=1)
        near = self.near(torch.cat([*probabilities, evidence], dim=1))
        around = self.around(F.avg_pool2d(evidence, AROUND))
        around = F.interpolate(around, size=near.shape[-2:], mode="bilinear", align_corners=False)
        scores = self.weigh(F.relu(near + around + self.whole(evidence.mean((2, 3), keepdim=True)))).to(precise)
        scores = torch.cat([scores[:, :1], *_excluded(scores[:, 1:], has_rgb, has_thermal)], dim=1)
        weights = F.softmax(scores, dim=1)
        mixed = (weights[:, :, None] * torch.stack(probabilities, dim=1)).sum(1)
        return mixed.clamp(min=LEAST).log().to(pair.dtype), weights


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


def _excluded(scores: Tensor, has_rgb: Tensor | None, has_thermal: Tensor | None) -> list[Tensor]:
    """Scores of RGB and thermal (B, 2, h, w), each (B, 1, h, w), so low that an absent sensor gets no weight."""
    lowest = -1e4
    return [
        score if there is None else torch.where(there.view(-1, 1, 1, 1), score, score.new_tensor(lowest))
        for score, there in zip(scores.chunk(2, dim=1), (has_rgb, has_thermal), strict=True)
    ]
