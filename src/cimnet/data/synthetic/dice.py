"""Random draws for one scene: few, plain, and built on `random()` and `integers()` alone, so that the same seed
gives the same world on every machine and with every NumPy version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")
SPLITS = ("train", "val", "test")


class Dice:
    """The one random source of a scene, seeded by (seed, split, index)."""

    def __init__(self, seed: int, split: str, index: int) -> None:
        entropy = [seed, SPLITS.index(split), index]
        self.generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))

    def uniform(self, low: float, high: float) -> float:
        """A float in [low, high)."""
        return low + (high - low) * self.generator.random()

    def integer(self, low: int, high: int) -> int:
        """An integer in low..high, both included."""
        return low + int(self.generator.random() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.generator.random() < probability

    def pick(self, choices: Sequence[T]) -> T:
        """One of the choices, all equally likely."""
        return choices[int(self.generator.random() * len(choices))]

    def around(self, value: float, spread: float) -> float:
        """A bell-shaped draw (sum of two uniforms) within value ± spread."""
        return value + spread * (self.generator.random() + self.generator.random() - 1.0)


def stratified(seed: int, index: int, step: float, key: int) -> float:
    """A number in [0, 1) that fills the interval evenly as index counts up.

    It decides what a scene is (day or night, broken or not), so that a small data set holds those in the right
    rates too. `step` is an irrational number: one for each decision; `key` separates the splits."""
    start = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, key, 7919]))).random()
    value = start + index * step
    return value - int(value)
