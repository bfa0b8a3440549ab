"""Fit the gate of a CIMNetX on pairs with defects: which of its three predictions to believe where."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cimnet.analysis.calibration.defects import DEFECTS, cases
from cimnet.analysis.calibration.pair_source import Pairs
from cimnet.data.sample import IGNORE_INDEX
from cimnet.errors import DataError
from cimnet.models.cimnetx import CIMNetX
from cimnet.models.reliability_gate import ReliabilityGate

MOST_BYTES = 500_000_000
"""Of the predictions that are held in memory; further cases are left out."""
STEPS, BATCH, RATE = 400, 8, 5e-3


class Opinions(NamedTuple):
    """What the three predictions say of N cases.

    Attributes:
        logits: (N, 3, K, h, w) float16, of the pair, RGB alone and thermal alone, at a quarter of the images' size.
        labels: (N, h, w) uint8.
        there: (N, 2) bool, whether the RGB and the thermal image show anything.
    """

    logits: Tensor
    labels: Tensor
    there: Tensor


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
        torch.manual_seed(seed)
        gate = ReliabilityGate(len(pairs.classes))
        optimizer = torch.optim.AdamW(gate.parameters(), RATE, weight_decay=1e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS)
        for _ in range(STEPS):
            chosen = torch.randint(len(opinions.labels), (BATCH,))
            there = opinions.there[chosen]
            mixed, _ = gate(*opinions.logits[chosen].float().unbind(1), there[:, 0], there[:, 1])
            loss = F.nll_loss(mixed, opinions.labels[chosen].long(), ignore_index=IGNORE_INDEX, reduction="sum")
            optimizer.zero_grad()
            torch.autograd.backward(loss / opinions.labels[chosen].numel())
            optimizer.step()
            schedule.step()
    return gate.requires_grad_(False).eval()


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
    assert model.gate is not None
    hook = model.gate.register_forward_pre_hook(lambda _, inputs: found.append(inputs))
    try:
        opinions, count = None, 0
        for case in cases(pairs, seed, defects):
            sample = case.sample
            if sample.label is None:
                raise DataError(f"{sample.id}: has no label, so a gate cannot be fitted to it; give labels")
            model(sample.rgb[None].to(device), sample.thermal[None].to(device))
            *logits, has_rgb, has_thermal = found.pop()
            padded, size = logits[0].shape[-2:], sample.label.shape
            full = model.restore(torch.cat(logits), (4 * padded[0], 4 * padded[1]), (size[0], size[1]))
            scores, label = full[..., ::4, ::4].cpu(), sample.label[::4, ::4]
            if opinions is None:
                opinions = _room_for(scores, label)
            if scores.shape[-2:] != opinions.labels.shape[-2:]:
                scores = F.interpolate(scores, opinions.labels.shape[-2:], mode="bilinear", align_corners=False)
                label = F.interpolate(label[None, None].float(), opinions.labels.shape[-2:])[0, 0]
            opinions.logits[count], opinions.labels[count] = scores, label.to(torch.uint8)
            opinions.there[count] = torch.stack([_there(has_rgb), _there(has_thermal)])
            count += 1
            if not case.defect:
                advance()
            if count == len(opinions.labels):
                break
    finally:
        hook.remove()
    if opinions is None:
        raise DataError("no pair to fit the gate to; choose another --split")
    return Opinions(*(values[:count] for values in opinions))


def _room_for(scores: Tensor, label: Tensor) -> Opinions:
    """Memory for as many cases as are held; what is not written takes none. Single tensors of this size between the
    model's large ones would leave glibc's heap in holes: 15 MB a case were seen."""
    cases = max(1, MOST_BYTES // (2 * scores.numel()))
    return Opinions(
        torch.empty((cases, *scores.shape), dtype=torch.float16),
        torch.empty((cases, *label.shape), dtype=torch.uint8),
        torch.empty((cases, 2), dtype=torch.bool),
    )


def _there(mask: Tensor | None) -> Tensor:
    return torch.tensor(True) if mask is None else mask[0].cpu()
