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
from cimnet.models.reliability_gate import ReliabilityGate

MOST_BYTES = 500_000_000
"""Of the predictions that are held in memory; of large images, fewer pairs are drawn."""
STEPS, BATCH_SIZE, LEARNING_RATE = 400, 8, 5e-3


class Opinions(NamedTuple):
    """The three predictions of N cases.

    Attributes:
        logits: (N, 3, K, h, w) float16, of the pair, RGB alone and thermal alone, as the gate gets them.
        labels: (N, h, w) uint8, 255 where an image was padded.
        present: (N, 2) bool, whether the RGB and the thermal image show anything.
    """

    logits: Tensor
    labels: Tensor
    present: Tensor


def fit_gate(
    model: CIMNetX,
    pairs: Pairs,
    *,
    device: torch.device,
    seed: int = 0,
    defects: Collection[str] = DEFECTS,
    advance: Callable[[], None] = lambda: None,
) -> ReliabilityGate:
    """A gate fitted on pairs as they are and with defects, see :func:`cimnet.analysis.calibration.defects.cases`: the
    one that gives the labels the highest likelihood. The model stays as it is.

    Args:
        pairs: not those that the model was trained on, since there the pair is always right.
        advance: called for each pair.

    Raises:
        DataError: a pair has no label.
    """
    opinions = collect_opinions(model, pairs, device=device, seed=seed, defects=defects, advance=advance)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        gate = ReliabilityGate(len(pairs.classes))
        optimizer = torch.optim.AdamW(gate.parameters(), LEARNING_RATE, weight_decay=1e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, STEPS)
        for _ in range(STEPS):
            chosen = torch.randint(len(opinions.labels), (BATCH_SIZE,))
            present = opinions.present[chosen]
            mixed, _ = gate(*opinions.logits[chosen].float().unbind(1), present[:, 0], present[:, 1])
            loss = F.nll_loss(mixed, opinions.labels[chosen].long(), ignore_index=IGNORE_INDEX, reduction="sum")
            optimizer.zero_grad()
            torch.autograd.backward(loss / opinions.labels[chosen].numel())
            optimizer.step()
            schedule.step()
    return gate.requires_grad_(False).eval()


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
    for logits, labels, present in zip(*(torch.split(values, BATCH_SIZE) for values in opinions), strict=True):
        mixed, _ = gate(*logits.float().unbind(1), present[:, 0], present[:, 1])
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
            *logits, has_rgb, has_thermal = found.pop()
            scores = torch.cat(logits).cpu()
            label = _label_at(model, sample.label, (scores.shape[-2], scores.shape[-1]))
            if opinions is None:
                opinions = _room_for(4 * most, scores, label)
            size = opinions.labels.shape[-2:]
            if label.shape != size:
                scores = F.interpolate(scores, size, mode="bilinear", align_corners=False)
                label = F.interpolate(label[None, None], size)[0, 0]
            opinions.logits[count], opinions.labels[count] = scores, label
            opinions.present[count] = torch.stack([_first(has_rgb), _first(has_thermal)])
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
        torch.empty((cases, 2), dtype=torch.bool),
    )


def _first(mask: Tensor | None) -> Tensor:
    return torch.tensor(True) if mask is None else mask[0].cpu()
