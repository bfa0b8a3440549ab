"""What a corruption is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from cimnet.data.sample import RGBTSample

Group = Literal["geometry", "rgb", "thermal"]


class Context(NamedTuple):
    """What a corruption may know besides the pair.

    Attributes:
        rng: random numbers of this pair and this corruption, the same at every severity, so that a curve over severity
            follows one and the same defect as it grows.
        fixed: random numbers of this corruption, the same for every pair (a sensor's fixed pattern).
        moving: ids of classes whose things move.
        other: gives the pair so many places earlier; None where there is none.
    """

    rng: np.random.Generator
    fixed: np.random.Generator
    moving: frozenset[int] = frozenset()
    other: Callable[[int], RGBTSample] | None = None


@dataclass(frozen=True)
class Corruption:
    """A defect in five severities.

    Attributes:
        name: for example ``translation``.
        group: what it spoils: the geometry, the RGB image or the thermal image.
        levels: of severities 1 to 5, in `unit`.
        apply: ``(sample, level, context)`` to a new sample; the given one is left alone.
    """

    name: str
    group: Group
    levels: tuple[float, float, float, float, float]
    unit: str
    apply: Callable[[RGBTSample, float, Context], RGBTSample]
