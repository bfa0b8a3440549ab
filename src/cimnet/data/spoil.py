"""Training on pairs that are worse than the data set's: a missing sensor, displaced cameras, defects."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from cimnet.data.corruptions import CORRUPTIONS, corrupt
from cimnet.data.sample import RGBTSample

DEFECTS = tuple(c.name for c in CORRUPTIONS.values() if c.group != "geometry" and not c.name.endswith("_dropped"))
"""Defects of a sensor that `Spoil` draws from: all that need no second pair."""


@dataclass(frozen=True)
class Spoil:
    """Spoil a share of the training samples. All randomness comes from torch's global generator.

    Attributes:
        modality_dropout: share of pairs that lose one image, either one alike: it becomes black, as a missing image is
            for every model (:class:`cimnet.models.RGBTModel`).
        misalignment: largest displacement, pixels. Half of the displaced pairs are moved as a whole (`affine`), half
            only in what moves (`time_lag`); by how much is told in `RGBTSample.offset`.
        misalignment_prob: share of pairs that are displaced, if `misalignment` is above 0.
        corruption_prob: share of pairs with one of `DEFECTS` at a random severity.
        moving: ids of classes whose things move.
    """

    modality_dropout: float = 0.0
    misalignment: float = 0.0
    misalignment_prob: float = 0.5
    corruption_prob: float = 0.0
    moving: frozenset[int] = frozenset()

    def __call__(self, sample: RGBTSample) -> RGBTSample:
        """A sample of the same size."""
        if self.misalignment > 0 and _chance(self.misalignment_prob):
            lag = sample.label is not None and _chance(0.5)
            level = self.misalignment * float(torch.rand(()))
            name = "time_lag" if lag else "affine"
            sample = corrupt(sample, name, level=level, seed=_integer(2**31), moving=self.moving)
        if _chance(self.corruption_prob):
            name = DEFECTS[_integer(len(DEFECTS))]
            sample = corrupt(sample, name, 1 + _integer(5), seed=_integer(2**31))
        if _chance(self.modality_dropout):
            lost = "rgb" if _chance(0.5) else "thermal"
            sample = replace(sample, **{lost: torch.zeros_like(getattr(sample, lost))})
        return sample


def _chance(probability: float) -> bool:
    return probability > 0 and float(torch.rand(())) < probability


def _integer(stop: int) -> int:
    return int(torch.randint(stop, ()))
