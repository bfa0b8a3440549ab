"""Reliability of probabilities: expected calibration error, negative log likelihood, and the temperature that
makes them better calibrated (Guo et al., On Calibration of Modern Neural Networks, ICML 2017)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from cimnet.analysis.calibration.pair_source import Pairs
from cimnet.data.sample import IGNORE_INDEX
from cimnet.errors import DataError
from cimnet.models import RGBTModel

BINS = 15
PIXELS = 200_000  # labelled pixels that the temperature is fitted on
TEMPERATURES = (0.02, 50.0)  # that are tried

Sums = npt.NDArray[np.float64]


def _zeros() -> Sums:
    return np.zeros(BINS)


@dataclass
class Reliability:
    """Labelled pixels by their top probability, in 15 bins of equal width; the upper edge belongs to the bin.

    Attributes:
        pixels, confidence, correct: per bin, number of pixels, sum of their top probabilities, number of right ones.
        loss: sum of the negative log likelihoods, nats.
    """

    pixels: Sums = field(default_factory=_zeros)
    confidence: Sums = field(default_factory=_zeros)
    correct: Sums = field(default_factory=_zeros)
    loss: float = 0.0

    def add(self, logits: Tensor, label: Tensor, temperature: float = 1.0) -> None:
        """Count pixels: logits (K, …) divided by the temperature, class ids (…), 255 left out."""
        rows, ids = labelled(logits, label)
        logs = torch.log_softmax(rows / temperature, dim=1)
        top, guess = logs.max(dim=1)
        bins = (top.exp() * BINS).ceil().long().clamp(1, BINS) - 1
        self.pixels += np.bincount(bins, minlength=BINS)
        self.confidence += np.bincount(bins, top.exp(), BINS)
        self.correct += np.bincount(bins, (guess == ids).double(), BINS)
        self.loss -= float(logs.gather(1, ids[:, None]).sum())

    @property
    def ece(self) -> float:
        """Mean distance of confidence and accuracy over the pixels, 0..1; NaN without pixels."""
        return self._share(np.abs(self.confidence - self.correct).sum())

    @property
    def nll(self) -> float:
        """Mean negative log likelihood, nats; NaN without pixels."""
        return self._share(self.loss)

    @property
    def accuracy(self) -> float:
        """Share of pixels that are right; NaN without pixels."""
        return self._share(self.correct.sum())

    def _share(self, total: float) -> float:
        count = self.pixels.sum()
        return float(total / count) if count else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers; per bin its mean confidence and accuracy, None where it is empty."""
        rows = zip(self.pixels.tolist(), self.confidence.tolist(), self.correct.tolist(), strict=True)
        bins = [
            {"pixels": int(n), "confidence": c / n if n else None, "accuracy": r / n if n else None} for n, c, r in rows
        ]
        return {"ece": self.ece, "nll": self.nll, "accuracy": self.accuracy, "bins": bins}


def labelled(logits: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (K, …) and class ids (…) of the pixels that have a label: (N, K) float64 and (N,) int64, on the CPU."""
    rows = logits.detach().cpu().flatten(1).T
    ids = label.cpu().flatten()
    known = ids != IGNORE_INDEX
    return rows[known].double(), ids[known]


def fit_temperature(logits: Tensor, label: Tensor) -> float:
    """The temperature of least negative log likelihood for logits (N, K) and class ids (N,), none of them 255.

    The likelihood has one minimum over log T, since it is convex in 1/T; it is found to 1e-4 of T within 0.02..50.

    Raises:
        DataError: there is no pixel.
    """
    if not len(label):
        raise DataError("temperature: no labelled pixel to fit it on; give a split with labels")

    def loss(log_temperature: float) -> float:
        return float(torch.nn.functional.cross_entropy(logits.double() * math.exp(-log_temperature), label))

    bounds = (math.log(TEMPERATURES[0]), math.log(TEMPERATURES[1]))
    return math.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4}).x)


def sample_pixels(
    model: RGBTModel,
    pairs: Pairs,
    device: torch.device,
    seed: int = 0,
    advance: Callable[[], None] = lambda: None,
) -> tuple[Tensor, Tensor]:
    """Logits (N, K) float64 and class ids (N,) of up to `PIXELS` labelled pixels, as many from each pair, drawn by the
    seed; `advance` is called for each pair.

    Raises:
        DataError: a pair has no label.
    """
    generator = torch.Generator().manual_seed(seed)
    share = max(1, PIXELS // max(len(pairs), 1))
    found = []
    for logits, label in predictions(model, pairs, device):
        rows, ids = labelled(logits, label)
        chosen = torch.randperm(len(ids), generator=generator)[:share]
        found.append((rows[chosen], ids[chosen]))
        advance()
    return torch.cat([rows for rows, _ in found]), torch.cat([ids for _, ids in found])


def predictions(model: RGBTModel, pairs: Pairs, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits (K, H, W) and label (H, W) of one pair after the other; the model is in evaluation mode.

    Raises:
        DataError: a pair has no label.
    """
    for index in range(len(pairs)):
        sample = pairs[index]
        if sample.label is None:
            raise DataError(f"{sample.id}: has no label, so probabilities cannot be compared with it; give labels")
        with torch.inference_mode():
            logits = model(sample.rgb[None].to(device), sample.thermal[None].to(device)).logits[0]
        yield logits, sample.label
