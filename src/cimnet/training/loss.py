"""The training loss (paper III-F, eq. 24): L = L_ce + λ·L_mi, with three ways to treat λ."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cimnet.data.sample import IGNORE_INDEX
from cimnet.models.output import Auxiliary, Output
from cimnet.utils.distributed import process_count, sum_over_processes

LambdaMode = Literal["balanced", "fixed", "free"]


class Loss(NamedTuple):
    """Terms of the loss, scalars.

    Attributes:
        total: what is minimised.
        cross_entropy: of the pairs, without the Dice term.
        mutual_information: L_mi in nats; 0 for models without it.
        weight: λ; 0 for models without L_mi.
    """

    total: Tensor
    cross_entropy: Tensor
    mutual_information: Tensor
    weight: Tensor


class MutualInformationWeight(nn.Module):
    """λ of eq. (24), starting at ``initial``.

    ``free`` is the literal reading: a plain parameter. Since dL/dλ = L_mi ≥ 0, descent drives it through zero, after
    which redundancy is rewarded. ``balanced`` keeps λ = exp(s) positive with a barrier −c·log λ, so that λ settles
    at c / L_mi; c = initial · (the largest L_mi of the first 100 batches in which the head has something to say: an
    untrained head estimates almost nothing, and a balance struck there would let λ fall). ``fixed`` never moves.
    """

    informative = 0.01  # nats
    first_steps = 100
    barrier: Tensor
    steps: Tensor

    def __init__(self, mode: LambdaMode = "balanced", initial: float = 0.1) -> None:
        super().__init__()
        self.mode = mode
        self.initial = initial
        start = torch.tensor([math.log(initial) if mode == "balanced" else initial])  # not a scalar: FSDP takes none
        if mode == "fixed":
            self.register_buffer("value", start)
        else:
            self.value = nn.Parameter(start)
        self.register_buffer("barrier", torch.tensor(0.0))  # c
        self.register_buffer("steps", torch.tensor(0))  # informative steps seen, at most first_steps

    def forward(self, estimate: Tensor) -> tuple[Tensor, Tensor]:
        """L_mi to (what is added to the loss, λ detached)."""
        value = self.value.squeeze(0)
        if self.mode != "balanced":
            return value * estimate, value.detach()
        if self.training:
            counts = (estimate.detach() > self.informative) & (self.steps < self.first_steps)
            self.steps += counts
            self.barrier.copy_(
                torch.where(counts, (self.initial * estimate).maximum(self.barrier), self.barrier).detach()
            )
        started = self.steps > 0
        log_weight = torch.where(started, value, value.detach())  # λ waits for the first informative step
        weight = log_weight.exp()
        return weight * estimate - self.barrier * log_weight, weight.detach()


class SegmentationLoss(nn.Module):
    """Cross entropy, optionally with a Dice term, plus the weighted mutual information (eq. 24).

    In a distributed run, means are over the pixels of all processes, so that N processes with batches of B do what one
    does with a batch of N·B. The terms of a process are its part of that times N, because gradients are averaged.

    Args:
        weight_mode: how λ behaves, see :class:`MutualInformationWeight`.
        initial_weight: λ at the start, above 0.
        class_weights: (K,), factors of the classes in the cross entropy. None: 1 for each.
        class_weights_end: power to which these factors have fallen at the end of training. Weights teach rare classes
            early; kept to the end, they make the model see those classes too often. 1 keeps them.
        dice: factor of the Dice loss; 0: none, as in the paper.
        label_smoothing: label smoothing of the cross entropy, 0 to 1.
        alone: loss weights of the RGB streams and of the thermal streams that are decoded by themselves, where the
            pairs have 1. Each counts by its mean, however few streams there are. The weighted mean of the three takes
            the place of the pairs' loss, and λ·L_mi is added to it.
        auxiliary: factor of the loss of published networks' further heads, on top of each head's own weight. A head for
            the classes has the loss of the logits; others have cross entropy against :func:`targets_of`, with the
            class weights of the head.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        weight_mode: LambdaMode = "balanced",
        initial_weight: float = 0.1,
        class_weights: Tensor | None = None,
        class_weights_end: float = 1.0,
        dice: float = 0.0,
        label_smoothing: float = 0.0,
        alone: tuple[float, float] = (1.0, 2.0),
        auxiliary: float = 1.0,
    ) -> None:
        super().__init__()
        self.mutual_information = MutualInformationWeight(weight_mode, initial_weight)
        self.register_buffer("class_weights", class_weights)
        self.class_weights_end = class_weights_end
        self.dice = dice
        self.label_smoothing = label_smoothing
        self.alone = alone
        self.auxiliary = auxiliary

    def forward(self, output: Output, label: Tensor, progress: float = 0.0) -> Loss:
        """The loss of a batch.

        Args:
            output: what the model returned.
            label: (B, H, W) int64, 255 = ignore.
            progress: share of the training that is done, 0 to 1.
        """
        total, cross_entropy = self._segmentation(output.logits, label, progress)
        if output.alone is not None:
            for factor, (logits, pairs) in zip(self.alone, output.alone, strict=True):
                total = total + factor * self._segmentation(logits, label[pairs], progress)[0]
            total = total / (1 + sum(self.alone))
        for head in output.auxiliary:  # also by a factor of 0: distributed runs want a gradient for every parameter
            total = total + self.auxiliary * head.weight * self._auxiliary(head, label, progress)
        estimate, weight = total.new_zeros(()), total.new_zeros(())
        if output.mutual_information is not None:
            term, weight = self.mutual_information(output.mutual_information)
            total, estimate = total + term, output.mutual_information.detach()
        else:
            total = (
                total + 0.0 * self.mutual_information.value.sum()
            )  # distributed runs want a gradient for every parameter
        return Loss(total, cross_entropy.detach(), estimate, weight)

    def _auxiliary(self, head: Auxiliary, label: Tensor, progress: float) -> Tensor:
        if head.target == "classes":
            return self._segmentation(head.logits, label, progress)[0]
        target = targets_of(label, head.target)
        logits = head.logits if head.logits.dtype == torch.float64 else head.logits.float()
        weights = None if head.class_weights is None else logits.new_tensor(head.class_weights)
        summed = F.cross_entropy(logits, target, weight=weights, ignore_index=IGNORE_INDEX, reduction="sum")
        return process_count() * summed / _mass(target, weights).to(summed)

    def _segmentation(self, logits: Tensor, label: Tensor, progress: float) -> tuple[Tensor, Tensor]:
        """Cross entropy with the Dice term, and cross entropy without it."""
        logits = logits if logits.dtype == torch.float64 else logits.float()
        weights = self.class_weights
        if weights is not None:
            weights = weights.to(logits.dtype) ** (1 - (1 - self.class_weights_end) * progress)
        summed = F.cross_entropy(
            logits,
            label,
            weight=weights,
            ignore_index=IGNORE_INDEX,
            reduction="sum",
            label_smoothing=self.label_smoothing,
        )
        cross_entropy = process_count() * summed / _mass(label, weights).to(summed)
        total = cross_entropy + self.dice * dice_loss(logits, label) if self.dice else cross_entropy
        return total, cross_entropy


def targets_of(label: Tensor, target: Literal["foreground", "boundary"]) -> Tensor:
    """Return the target of an auxiliary two-class head.

    The original code of these networks reads both from images that were not published. A border here is a line of two
    pixels, one on each side: every pixel with a pixel of another class among its eight neighbours. That is the
    narrowest line that favours no side. Pixels without a label neither are borders nor make others so.

    Args:
        label: (B, H, W), int64, 255 = ignore.
        target: ``foreground``: 1 where the label is not class 0; ``boundary``: 1 at borders between classes.

    Returns:
        (B, H, W), int64, 0 or 1, and 255 where the label is.
    """
    ignored = label == IGNORE_INDEX
    if target == "foreground":
        found = label != 0
    else:
        largest = F.max_pool2d(torch.where(ignored, -1, label).float(), 3, 1, 1)
        smallest = -F.max_pool2d(-label.float(), 3, 1, 1)  # ignored ones are the largest of all
        found = largest != smallest
    return torch.where(ignored, IGNORE_INDEX, found.to(label.dtype))


def _mass(label: Tensor, weights: Tensor | None) -> Tensor:
    """Weight of the labelled pixels of all processes; never 0, so that batches without any give 0, not NaN."""
    valid = label != IGNORE_INDEX
    mass = valid.sum(dtype=torch.float32) if weights is None else (weights[torch.where(valid, label, 0)] * valid).sum()
    return sum_over_processes(mass).clamp_min(1e-6)


def dice_loss(logits: Tensor, label: Tensor) -> Tensor:
    """1 − 2·|P ∩ T| / (|P| + |T|) with soft P, mean over all K classes; a class without true pixels adds 0.

    Sums are over all labelled pixels of the batch, in distributed runs over those of all processes.

    Args:
        logits: (B, K, H, W).
        label: (B, H, W), int64, 255 = ignore.
    """
    labelled = label != IGNORE_INDEX
    classes = torch.where(labelled, label, 0)
    truth = F.one_hot(classes, logits.shape[1]).movedim(-1, 1) * labelled[:, None]  # (B, K, H, W)
    found = logits.softmax(1) * labelled[:, None]
    overlap, size, true = sum_over_processes(
        torch.stack([(found * truth).sum((0, 2, 3)), (found + truth).sum((0, 2, 3)), truth.sum((0, 2, 3)).to(found)])
    )
    return ((1 - 2 * overlap / size.clamp_min(1e-7)) * (true > 0)).mean()
