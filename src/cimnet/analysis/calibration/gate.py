"""Fit the gate of a CIMNetX on pairs with defects: which of its three predictions to believe where."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
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

PIXELS = 400_000
"""On which the gate is fitted, about as many of each case."""
DECAY = 1e-3
"""Factor of the squared weights, of evidence with unit variance."""


LEAST = 1e-2
"""Smallest standard deviation that evidence is divided by: what hardly varies in the fit must not decide elsewhere."""


class Drawn(NamedTuple):
    """N pixels with labels, to fit a gate on.

    Attributes:
        evidence: (N, E), see :func:`cimnet.models.reliability_gate.gather_evidence`.
        likelihood: (N, 3), log-probability of the true class by the pair, RGB alone and thermal alone.
        truth: (N,) int64, the true class.
    """

    evidence: Tensor
    likelihood: Tensor
    truth: Tensor


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
    one by whose weights a mixture of the probabilities gives the labels the highest likelihood. (The gate then mixes
    logarithms; fitting that mixture instead scored 0.1 points less.) Rare classes count more, by one over the square
    root of their frequency. The model stays as it is.

    Args:
        pairs: not those that the model was trained on, since there the pair is always right.
        advance: called for each pair.

    Raises:
        DataError: a pair has no label.
    """
    count = max(1, PIXELS // (4 * max(1, min(len(pairs), MOST_PAIRS))))
    opinions = run_cases(model, pairs, device, seed, defects, advance)
    evidence, likelihood, truth = draw_pixels(model, opinions, count, seed)
    rarity = torch.bincount(truth).clamp(min=1).rsqrt()[truth]
    share = rarity / rarity.sum()
    mean, deviation = evidence.mean(0), evidence.std(0, correction=0).clamp(min=LEAST)
    evidence = (evidence - mean) / deviation
    with torch.random.fork_rng(devices=[]):
        gate = ReliabilityGate()
    assert gate.weigh.bias is not None
    weight = torch.zeros(evidence.shape[1], likelihood.shape[1], requires_grad=True)
    bias = gate.weigh.bias.detach().clone().requires_grad_()
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=80, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        mixed = torch.logsumexp(F.log_softmax(evidence @ weight + bias, dim=1) + likelihood, dim=1)
        found = -(share * mixed).sum() + DECAY * weight.square().sum()
        torch.autograd.backward(found)
        return found

    optimizer.step(loss)  # type: ignore[no-untyped-call]  # untyped in torch
    with torch.no_grad():  # the gate takes evidence as it is
        scaled = weight / deviation[:, None]
        gate.weigh.weight.copy_(scaled.T[:, :, None, None])
        gate.weigh.bias.copy_(bias - mean @ scaled)
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
    classes = len(pairs.classes)
    found = [np.zeros((classes, classes), np.int64) for _ in GateScores._fields]
    gate = gate.to(device)
    for label, given in run_cases(model, pairs, device, seed, DEFECTS, advance):
        size = (label.shape[0], label.shape[1])
        for matrix, scores in zip(found, (given[0], gate(*given)[0]), strict=True):
            ids = class_ids(model.restore(scores, _padded(model, size), size))[0]
            matrix += metrics.confusion_matrix(label.numpy(), ids.cpu().numpy(), classes)
    return GateScores(*(metrics.scores(matrix).miou for matrix in found))


@torch.no_grad()
def draw_pixels(
    model: CIMNetX, opinions: Iterable[tuple[Tensor, tuple[Tensor, ...]]], count: int, seed: int = 0
) -> Drawn:
    """Draw random pixels of all cases, with what the three predictions say there. Pixels without a label, and those
    that one image does not show, are left out.

    Args:
        opinions: from :func:`run_cases`.
        count: most pixels of a case.

    Raises:
        DataError: a pair has no label, or none of the pixels has one.
    """
    generator = torch.Generator().manual_seed(seed)
    found: list[Drawn] = []
    for label, (pair, rgb, thermal, *shown) in opinions:
        pixels = torch.randperm(label.numel(), generator=generator)[:count]
        pixels = pixels[label.flatten()[pixels] != IGNORE_INDEX]
        size = (label.shape[0], label.shape[1])
        grid = _positions(pixels, size, model.inner_size(*size), _padded(model, size)).to(pair.device)
        seen = [
            torch.ones_like(pair[:, :1]) if mask is None else mask.to(pair.dtype).expand_as(pair[:, :1])
            for mask in shown
        ]
        kept = (_read(torch.cat(seen, dim=1), grid) > 0.5).all(1).cpu()
        truth = label.flatten()[pixels].long()
        evidence = _read(gather_evidence(pair, rgb, thermal)[1], grid)
        said = [F.log_softmax(_read(logits, grid).float(), dim=1).cpu() for logits in (pair, rgb, thermal)]
        likelihood = torch.cat([logs.gather(1, truth[:, None]) for logs in said], dim=1)
        found.append(Drawn(evidence.cpu()[kept], likelihood[kept], truth[kept]))
    drawn = Drawn(*(torch.cat(parts) for parts in zip(*found, strict=True))) if found else None
    if drawn is None or not len(drawn.truth):
        raise DataError("no labelled pair to fit the gate to; choose another --split")
    return drawn


def _positions(pixels: Tensor, size: tuple[int, int], inner: tuple[int, int], padded: tuple[int, int]) -> Tensor:
    """Where pixels of an image lie in the model's maps: (1, 1, N, 2), x and y in -1..1, as `grid_sample` takes them."""
    rows, columns = pixels // size[1], pixels % size[1]
    parts = ((columns, size[1], inner[1], padded[1]), (rows, size[0], inner[0], padded[0]))
    places = [2 * (at + 0.5) * (inside / of) / whole - 1 for at, of, inside, whole in parts]
    return torch.stack(places, dim=1)[None, None]


def _read(maps: Tensor, grid: Tensor) -> Tensor:
    """The values of maps (1, C, h, w) at N places, (N, C), as the model scales them up."""
    return F.grid_sample(maps, grid.to(maps.dtype), padding_mode="border", align_corners=False)[0, :, 0].T


def _padded(model: CIMNetX, size: tuple[int, int]) -> tuple[int, int]:
    return model.padded_size(*model.inner_size(*size))


def run_cases(
    model: CIMNetX,
    pairs: Pairs,
    device: torch.device,
    seed: int,
    defects: Collection[str],
    advance: Callable[[], None] = lambda: None,
) -> Iterator[tuple[Tensor, tuple[Tensor, ...]]]:
    """Run the model on all cases: the label (H, W), and what the gate gets.

    Raises:
        DataError: a pair has no label.
    """
    given: list[tuple[Tensor, ...]] = []
    assert model.reliability is not None
    hook = model.reliability.register_forward_pre_hook(lambda _, inputs: given.append(inputs))
    try:
        for case in cases(pairs, seed, defects):
            sample = case.sample
            if sample.label is None:
                raise DataError(f"{sample.id}: has no label, so a gate cannot be fitted to it; give labels")
            model(sample.rgb[None].to(device), sample.thermal[None].to(device))
            yield sample.label, given.pop()
            if not case.defect:
                advance()
    finally:
        hook.remove()
