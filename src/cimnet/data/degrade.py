"""Degrade training pairs: displaced cameras, defects, a missing sensor."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from cimnet.data.corruptions import CORRUPTIONS, DROPPED, corrupt
from cimnet.data.sample import Batch, RGBTSample

SENSOR_DEFECTS = tuple(c.name for c in CORRUPTIONS.values() if c.group != "geometry" and c.name not in DROPPED)
"""Defects of a sensor that `Degrade` draws from: all that need no second pair."""


@dataclass(frozen=True)
class Degrade:
    """Degrade a share of the training samples. All randomness comes from torch's global generator.

    Attributes:
        misalignment: largest displacement, pixels. Half of the displaced pairs are moved as a whole (`affine`), half
            only in what moves (`time_lag`). Pairs whose RGB image shows nothing stay: nobody could tell by how much.
        misalignment_prob: share of pairs that are displaced, if `misalignment` is above 0.
        corruption_prob: share of pairs with a defect at a random severity.
        corruptions: the defects to draw from, names of `SENSOR_DEFECTS`; empty: all of them.
        moving: ids of classes whose things move.
    """

    misalignment: float = 0.0
    misalignment_prob: float = 0.5
    corruption_prob: float = 0.0
    corruptions: tuple[str, ...] = ()
    moving: frozenset[int] = frozenset()

    def __call__(self, sample: RGBTSample) -> RGBTSample:
        """A sample of the same size."""
        if self.misalignment > 0 and _chance(self.misalignment_prob) and sample.rgb.amax() > sample.rgb.amin():
            lag = sample.label is not None and _chance(0.5)
            level = self.misalignment * float(torch.rand(()))
            name = "time_lag" if lag else "affine"
            sample = corrupt(sample, name, level=level, seed=_integer(2**31), moving=self.moving)
        if _chance(self.corruption_prob):
            names = self.corruptions or SENSOR_DEFECTS
            name = names[_integer(len(names))]
            sample = corrupt(sample, name, 1 + _integer(5), seed=_integer(2**31))
        return sample


def with_missing(batch: Batch, share: float) -> Batch:
    """A batch that holds a random `share` of its pairs once more, each with one image black.

    The pairs themselves stay, so that the whole pairs of a step are as many as without. Either image is lost alike, but
    where pairs were displaced, those lose the thermal image and the others the RGB image: from a displaced thermal
    image alone nobody could tell where things are. Numbers are rounded by chance; all randomness comes from torch's
    global generator.
    """
    count = int(len(batch.ids) * share + float(torch.rand(()))) if share > 0 else 0
    if count == 0 or batch.label is None:
        return batch
    chosen = torch.randperm(len(batch.ids))[:count].to(batch.rgb.device)
    if batch.offset is None:
        no_rgb = (torch.rand(count) < 0.5).to(batch.rgb.device)
    else:
        no_rgb = (batch.offset[chosen] == 0).all(3).all(2).all(1)
    no_rgb |= ~batch.rgb[chosen].any(3).any(2).any(1)  # it is lost already
    no_rgb = no_rgb.view(-1, 1, 1, 1)
    names = chosen.tolist()
    return Batch(
        rgb=torch.cat((batch.rgb, batch.rgb[chosen] * ~no_rgb)),
        thermal=torch.cat((batch.thermal, batch.thermal[chosen] * no_rgb)),
        label=torch.cat((batch.label, batch.label[chosen])),
        ids=batch.ids + [batch.ids[k] for k in names],
        scenes=batch.scenes + [batch.scenes[k] for k in names],
        flags=batch.flags + [batch.flags[k] for k in names],
    )


def _chance(probability: float) -> bool:
    return probability > 0 and float(torch.rand(())) < probability


def _integer(stop: int) -> int:
    return int(torch.randint(stop, ()))
