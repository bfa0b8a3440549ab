"""The interface of a corruption."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import torch.nn.functional as F

from cimnet.data.sample import RGBTSample
from cimnet.errors import DataError

Group = Literal["geometry", "rgb", "thermal"]


class Context(NamedTuple):
    """The arguments of a corruption besides the pair.

    Attributes:
        rng: random numbers of this pair and this corruption, the same at every severity: so a curve over severity
            follows one defect as it grows.
        fixed: random numbers of this corruption, the same for every pair, such as a sensor's fixed pattern.
        moving: ids of the classes whose objects move.
        other: called with a number n, returns the pair n places earlier. None: there are no earlier pairs.
    """

    rng: np.random.Generator
    fixed: np.random.Generator
    moving: frozenset[int] = frozenset()
    other: Callable[[int], RGBTSample] | None = None


@dataclass(frozen=True)
class Corruption:
    """A defect with five severities.

    Attributes:
        name: for example ``translation``.
        group: what it corrupts: the geometry, the RGB image or the thermal image.
        levels: strengths at severities 1 to 5, in ``unit``.
        unit: unit of the levels, for example pixels.
        apply: called with a sample, a level and a :class:`Context`, returns a new sample; the given one stays as it is.
    """

    name: str
    group: Group
    levels: tuple[float, float, float, float, float]
    unit: str
    apply: Callable[[RGBTSample, float, Context], RGBTSample]


def earlier(sample: RGBTSample, name: str, level: float, context: Context) -> RGBTSample:
    """The pair this many places earlier, at the size of this one.

    Raises:
        DataError: there is none.
    """
    if context.other is None:
        raise DataError(
            f"{sample.id}: {name} needs an earlier pair, and there is none; use CorruptedDataset or give other"
        )
    before = context.other(round(level))
    size = sample.rgb.shape[1:]
    rgb, thermal = (
        image if image.shape[1:] == size else F.interpolate(image[None], size, mode="bilinear", antialias=True)[0]
        for image in (before.rgb, before.thermal)
    )
    return replace(sample, rgb=rgb.clamp(0, 1), thermal=thermal.clamp(0, 1))
