"""Pairs between reading and prediction: grouped by size, with the alarm's verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby, islice

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cimnet.inference.alarms.alarm import Alarm
from cimnet.inference.alarms.model_features import Measured
from cimnet.models.blank import present_mask


@dataclass(frozen=True)
class PreparedPair:
    """A pair as the model is to see it, of `cimnet.inference.Predictor.prepare`.

    Attributes:
        rgb, thermal: (3, H, W) and (C, H, W) in 0..1; black stands for a sensor that is missing or left out.
        alarm: of the pair as it came. None: not judged.
        mask: class ids (H, W), where one of the alarm's passes was the prediction itself.
    """

    rgb: Tensor
    thermal: Tensor
    alarm: Alarm | None = None
    mask: npt.NDArray[np.uint8] | None = None

    def judged(self, alarm: Alarm, leave_out: bool, measured: Measured | None) -> PreparedPair:
        """The pair with its alarm.

        Args:
            leave_out: put black for a sensor that is called broken while the other one is not.
            measured: the passes behind the alarm, where they are what a prediction would run. None: they are not.
        """
        broken = set(alarm.raised) - {"misaligned"} if leave_out else set()
        rgb, thermal = self.rgb, self.thermal
        mask = None if measured is None else measured.both
        if broken == {"rgb_broken"}:
            rgb, mask = torch.zeros_like(rgb), None if measured is None else measured.thermal_alone
        elif broken == {"thermal_broken"}:
            thermal, mask = torch.zeros_like(thermal), None if measured is None else measured.rgb_alone
        ids = None if mask is None else mask.to(torch.uint8).cpu().numpy()
        return replace(self, rgb=rgb, thermal=thermal, alarm=alarm, mask=ids)


def is_whole(rgb: Tensor, thermal: Tensor) -> bool:
    """Whether neither image, (3, H, W) and (C, H, W), is blank."""
    return all(bool(present_mask(image[None]).item()) for image in (rgb, thermal))


def of_one_size(pairs: Iterable[tuple[Tensor, Tensor]], most: int) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Neighbours of one size, up to ``most`` together; no more than one pair is read ahead."""
    for _, alike in groupby(pairs, lambda pair: pair[0].shape):
        while group := list(islice(alike, most)):
            yield group
