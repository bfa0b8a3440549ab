"""The interface of a corruption."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import torch.nn.functional as F

from cimnet.data.sample import RGBTSample
from cimnet.errors import ConfigError, DataError

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
        limits: smallest and largest level that mean something.
        whole: whether a level is a whole number.
    """

    name: str
    group: Group
    levels: tuple[float, float, float, float, float]
    unit: str
    apply: Callable[[RGBTSample, float, Context], RGBTSample]
    limits: tuple[float, float] = (0, math.inf)
    whole: bool = False

    def amount(self, severity: int | None, level: float | None) -> float:
        """The level of a severity, or the level itself.

        Args:
            severity: 1 to 5. Give this or ``level``.
            level: in ``unit``.

        Raises:
            ConfigError: both or neither are given, another severity, or a level that means nothing: no number, not a
                whole one where it must be, or outside of the limits.
        """
        if (severity is None) == (level is None) or severity not in (None, 1, 2, 3, 4, 5):
            raise ConfigError(f"{self.name}: give a severity from 1 to 5, or a level in {self.unit}")
        if level is None:
            return self.levels[int(severity or 1) - 1]
        least, most = self.limits
        if not math.isfinite(level) or not least <= level <= most or (self.whole and level != round(level)):
            kind = "a whole number" if self.whole else "a number"
            reach = f"from {least:g}" if most == math.inf else f"from {least:g} to {most:g}"
            raise ConfigError(f"{self.name}: the level must be {kind} {reach} in {self.unit}, not {level:g}")
        return level


def earlier_index(index: int, places: int, pairs: int) -> int:
    """The index of another pair, earlier in a ring of pairs.

    Args:
        index: of the pair.
        places: how many pairs earlier; 0: the pair itself.
        pairs: how many there are.

    Raises:
        DataError: there is no other pair.
    """
    if not places:
        return index
    if pairs == 1:
        raise DataError(
            "a frame that an earlier one replaces needs two pairs, and there is one; leave dropped frames out"
        )
    return (index - 1 - (places - 1) % (pairs - 1)) % pairs  # round and round, but never the pair itself


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
