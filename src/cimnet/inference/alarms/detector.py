"""Logistic regression on how far numbers of a pair lie above or below those of sound pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
_SHRINK = 0.01  # weight of the squared weights beside the mean loss
_NARROWEST = 1e-3  # spread of a number that is the same for all sound pairs


@dataclass(frozen=True)
class Detector:
    """One alarm. Raised above `threshold`.

    Attributes:
        names: of the numbers it looks at.
        centre, spread: of each among sound pairs.
        above, below: weight of each where it lies above or below; of the logarithm of 1 + distance in spreads.
        bias: of the logit.
        threshold: probability.
    """

    names: tuple[str, ...]
    centre: tuple[float, ...]
    spread: tuple[float, ...]
    above: tuple[float, ...]
    below: tuple[float, ...]
    bias: float
    threshold: float = 0.5

    def probability(self, numbers: Mapping[str, float]) -> float:
        """0..1, assuming that sound and broken pairs are equally frequent."""
        from scipy import special  # here: it takes a while, and most predictions ask no alarm

        return float(special.expit(self.bias + sum(self.parts(numbers).values())))

    def parts(self, numbers: Mapping[str, float]) -> dict[str, float]:
        """Return the contribution of each number to the logit."""
        rows = _sides(np.array([[numbers[name] for name in self.names]]), np.array(self.centre), np.array(self.spread))
        parts = rows[0] * np.array(self.above + self.below)
        return dict(zip(self.names, (parts[: len(self.names)] + parts[len(self.names) :]).tolist(), strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Detector:
        """Build the detector from the result of :meth:`to_dict`.

        Raises:
            KeyError, TypeError, ValueError: something else.
        """
        names = tuple(map(str, content["names"]))
        keys = ("centre", "spread", "above", "below")
        lists = {key: tuple(map(float, content[key])) for key in keys}
        if any(len(values) != len(names) for values in lists.values()):
            raise ValueError("a number for each name is needed")
        return cls(names, **lists, bias=float(content["bias"]), threshold=float(content["threshold"]))


def fit_detector(rows: Sequence[Mapping[str, float]], truth: Sequence[bool], names: Sequence[str]) -> Detector:
    """Fit an alarm to numbers of pairs; the true and the false cases weigh the same in all.

    Raises:
        ValueError: all cases are true, or all are false.
    """
    from scipy import optimize, special

    true = np.asarray(truth, np.bool_)
    if true.all() or not true.any():
        raise ValueError("an alarm needs both cases that raise it and cases that do not")
    values = np.array([[row[name] for name in names] for row in rows], np.float64)
    centre = values[~true].mean(0)
    spread = np.maximum(values[~true].std(0), _NARROWEST)
    sides = np.column_stack([_sides(values, centre, spread), np.ones(len(values))])
    weight = np.where(true, 0.5 / true.sum(), 0.5 / (~true).sum())

    def loss(weights: Array) -> tuple[float, Array]:
        logit = sides @ weights
        slope = weight * (special.expit(logit) - true)
        shrunk = np.append(weights[:-1], 0.0)
        value = (weight * (np.logaddexp(0, logit) - logit * true)).sum() + _SHRINK * (shrunk**2).sum() / 2
        return float(value), slope @ sides + _SHRINK * shrunk

    best = optimize.minimize(loss, np.zeros(sides.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    above, below = np.split(best[:-1], 2)
    lists = [tuple(part.tolist()) for part in (centre, spread, above, below)]
    return Detector(tuple(names), lists[0], lists[1], lists[2], lists[3], float(best[-1]))


def _sides(values: Array, centre: Array, spread: Array) -> Array:
    """(N, F) to (N, 2F): distances above, then below, as logarithms of 1 + distance."""
    distance = (values - centre) / spread
    return np.log1p(np.column_stack([np.maximum(distance, 0), np.maximum(-distance, 0)]))
