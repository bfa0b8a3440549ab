"""Fit the gate of a CIMNetX on pairs with defects: which of its three predictions to believe where."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cimnet.analysis.calibration.defects import DEFECTS, MOST_PAIRS, cases
from cimnet.analysis.calibration.pair_source import Pairs
from cimnet.data.sample import IGNORE_INDEX
from cimnet.errors import DataError
from cimnet.evaluation import metrics
from cimnet.models.base import class_ids
from cimnet.models.cimnetx import CIMNetX
from cimnet.models.reliability_gate import ReliabilityGate, gather_evidence

MOST_BYTES = 500_000_000
"""Of the predictions that are held in memory; of large images, fewer pairs are drawn."""
PLACES = 400_000
"""At which the gate is fitted, drawn from all cases alike."""
DECAY = 1e-3
"""Factor of the squared weights, of evidence with unit variance."""
BATCH_SIZE = 4


class Opinions(NamedTuple):
    """The three predictions of N cases.

    Attributes:
        logits: (N, 3, K, h, w) float16, of the pair, RGB alone and thermal alone, as the gate gets them.
        labels: (N, h, w) uint8, 255 where an image was padded.
        shown: (N, 2, h, w) bool, where the RGB and the thermal image show anything.
    """

    logits: Tensor
    labels: Tensor
    shown: Tensor


def fit_gate(
    model: CIMNetX,
    pairs: Pairs,
    *,
    device: torch.device,
    seed: int = 0,
    defects: Collection[str] = DEFECTS,
    advance: Callable[[], None] = lambda: None,
) -> ReliabilityGate:
    """A gate fitted on pairs as they are and with defects, see :func:`cimnet.analysis.calibration.defects.cases`: where
    the three predictions are neither all right nor all wrong, the one that gives most weight to those that are right.
    Rare classes count more, by one over the square root of their frequency. The model stays as it is.

    Args:
        pairs: not those that the model was trained on, since there the pair is always right.
        advance: called for each pair.

    Raises:
        DataError: a pair has no label.
    """
    opinions = collect_opinions(model, pairs, device=device, seed=seed, defects=defects, advance=advance)
    evidence, right, share = _draw(opinions, len(pairs.classes), seed)
    with torch.random.fork_rng(devices=[]):
        gate = ReliabilityGate()
    if not len(evidence):
        return gate.requires_grad_(False).eval()  # nothing to tell the predictions apart by
    mean, deviation = evidence.mean(0), evidence.std(0, correction=0).clamp(min=1e-6)
    evidence = (evidence - mean) / deviation
    assert gate.weigh.bias is not None
    weight = torch.zeros(evidence.shape[1], right.shape[1], requires_grad=True)
    bias = gate.weigh.bias.detach().clone().requires_grad_()
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=80, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        believed = (F.softmax(evidence @ weight + bias, dim=1) * right).sum(1)
        found = -(share * believed.clamp(min=1e-6).log()).sum() + DECAY * weight.square().sum()
        torch.autograd.backward(found)
        return found

    optimizer.step(loss)  # type: ignore[no-untyped-call]  # untyped in torch
    with torch.no_grad():  # the gate takes evidence as it is
        scaled = weight / deviation[:, None]
        gate.weigh.weight.copy_(scaled.T[:, :, None, None])
        gate.weigh.bias.copy_(bias - mean @ scaled)
    return gate.requires_grad_(False).eval()


def _draw(opinions: Opinions, classes: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Evidence (N, E) at places where predictions are right and wrong, which of them are right (N, 3), and what each
    place counts (N,), which sums to 1. Places that an image does not show are left out."""
    generator = torch.Generator().manual_seed(seed)
    drawn = max(1, PLACES // len(opinions.labels))
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for logits, label, shown in zip(*opinions, strict=True):
        evidence = gather_evidence(*logits.float()[:, None])[1][0].flatten(1)
        place = torch.randperm(label.numel(), generator=generator)[:drawn]
        place = place[shown.flatten(1)[:, place].all(0) & (label.flatten()[place] != IGNORE_INDEX)]
        truth = label.flatten()[place].long()
        found.append(
            (evidence[:, place].T, truth[:, None] == class_ids(logits.flatten(2)[:, :, place].float()).T, truth)
        )
    evidence, right, truth = (torch.cat(parts) for parts in zip(*found, strict=True))
    rarity = torch.bincount(truth, minlength=classes).clamp(min=1).rsqrt()[truth]
    telling = right.any(1) & ~right.all(1)
    return evidence[telling], right[telling].float(), rarity[telling] / rarity[telling].sum()


class GateScores(NamedTuple):
    """mIoU, 0..1, over pairs as they are and with defects.

    Attributes:
        pair: of the prediction from both sensors.
        with_gate: of the mixture.
    """

    pair: float
    with_gate: float

    def sentence(self) -> str:
        """Both in per cent."""
        return f"mIoU {100 * self.with_gate:.1f} with it and {100 * self.pair:.1f} without, with and without defects"


@torch.inference_mode()
def judge_gate(
    gate: ReliabilityGate,
    model: CIMNetX,
    pairs: Pairs,
    *,
    device: torch.device,
    seed: int,
    advance: Callable[[], None] = lambda: None,
) -> GateScores:
    """Score a gate on unchanged pairs and on pairs with every kind of defect. Arguments as in :func:`fit_gate`."""
    opinions = collect_opinions(model, pairs, device=device, seed=seed, defects=DEFECTS, advance=advance)
    classes = len(pairs.classes)
    found = [np.zeros((classes, classes), np.int64) for _ in GateScores._fields]
    for logits, labels, shown in zip(*(torch.split(values, BATCH_SIZE) for values in opinions), strict=True):
        mixed, _ = gate(*logits.float().unbind(1), *shown.split(1, dim=1))
        for matrix, values in zip(found, (logits[:, 0], mixed), strict=True):
            matrix += metrics.confusion_matrix(labels.numpy(), class_ids(values).numpy(), classes)
    return GateScores(*(metrics.scores(matrix).miou for matrix in found))


@torch.inference_mode()
def collect_opinions(
    model: CIMNetX,
    pairs: Pairs,
    *,
    device: torch.device,
    seed: int,
    defects: Collection[str],
    advance: Callable[[], None] = lambda: None,
) -> Opinions:
    """Run the model on all cases. Predictions and labels of other sizes than the first case's are scaled to it.

    Raises:
        DataError: a pair has no label.
    """
    found: list[tuple[Tensor, ...]] = []
    assert model.reliability is not None
    most = min(MOST_PAIRS, max(1, MOST_BYTES // (4 * 2 * 3 * len(pairs.classes) * _places(model, pairs))))
    opinions, count = None, 0
    hook = model.reliability.register_forward_pre_hook(lambda _, inputs: found.append(inputs))
    try:
        for case in cases(pairs, seed, defects, most):
            sample = case.sample
            if sample.label is None:
                raise DataError(f"{sample.id}: has no label, so a gate cannot be fitted to it; give labels")
            model(sample.rgb[None].to(device), sample.thermal[None].to(device))
            *logits, shown_rgb, shown_thermal = found.pop()
            scores = torch.cat(logits).cpu()
            label = _label_at(model, sample.label, (scores.shape[-2], scores.shape[-1]))
            if opinions is None:
                opinions = _room_for(4 * most, scores, label)
            size = opinions.labels.shape[-2:]
            shown = torch.cat([_everywhere(mask, scores) for mask in (shown_rgb, shown_thermal)])
            if label.shape != size:
                scores = F.interpolate(scores, size, mode="bilinear", align_corners=False)
                label, shown = (F.interpolate(x.byte()[None], size)[0] for x in (label[None], shown))
            opinions.logits[count], opinions.labels[count], opinions.shown[count] = scores, label, shown
            count += 1
            if not case.defect:
                advance()
    finally:
        hook.remove()
    if opinions is None:
        raise DataError("no pair to fit the gate to; choose another --split")
    return Opinions(*(values[:count] for values in opinions))


def _places(model: CIMNetX, pairs: Pairs) -> int:
    """Return how many places a prediction of the first pair has."""
    height, width = model.inner_size(*pairs[0].rgb.shape[-2:]) if len(pairs) else (1, 1)
    return -(-height // 4) * -(-width // 4)


def _label_at(model: CIMNetX, label: Tensor, size: tuple[int, int]) -> Tensor:
    """The label of an image where its prediction (h, w) has values, uint8."""
    height, width = model.inner_size(label.shape[0], label.shape[1])
    inner = F.interpolate(label[None, None].to(torch.uint8), (height, width))[0, 0]
    return F.pad(inner, (0, 4 * size[1] - width, 0, 4 * size[0] - height), value=IGNORE_INDEX)[::4, ::4]


def _room_for(cases: int, scores: Tensor, label: Tensor) -> Opinions:
    """Memory for so many cases; what is not written takes none. Single tensors of this size between the model's large
    ones would leave glibc's heap in holes: 15 MB a case were seen."""
    return Opinions(
        torch.empty((cases, *scores.shape), dtype=torch.float16),
        torch.empty((cases, *label.shape), dtype=torch.uint8),
        torch.empty((cases, 2, *label.shape), dtype=torch.bool),
    )


def _everywhere(mask: Tensor | None, scores: Tensor) -> Tensor:
    """The gate's mask of one case at each place: (1, h, w) bool."""
    places = scores.new_ones((1, *scores.shape[-2:]), dtype=torch.bool)
    return places if mask is None else mask[0].cpu() & places
