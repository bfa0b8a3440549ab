"""The pairs that suffered most, each as the model saw it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cimnet.analysis.robustness.conditions import Condition
from cimnet.analysis.robustness.count import Pairs
from cimnet.analysis.robustness.model_under_test import ModelUnderTest
from cimnet.analysis.robustness.robustness_scores import RobustnessScores
from cimnet.data import RGBTSample


class Example(NamedTuple):
    """A pair under a corruption.

    Attributes:
        sample: as the model saw it, corrupted.
        before, after: predicted class ids (H, W), clean and corrupted.
        miou: of this pair, clean and corrupted, 0..1.
    """

    condition: Condition
    sample: RGBTSample
    before: npt.NDArray[np.int64]
    after: npt.NDArray[np.int64]
    miou: tuple[float, float]


def choose_worst(report: RobustnessScores, count: int = 6) -> list[tuple[Condition, str]]:
    """For each of the most costly corruptions, the condition and the id of the pair that lost most; no pair appears
    twice."""
    curves = sorted(report.curves.values(), key=lambda curve: _known(curve.worst.miou))
    clean = report.outcomes[report.clean.condition].images
    chosen: list[tuple[Condition, str]] = []
    for curve in curves:
        images = report.outcomes[curve.worst.condition].images
        taken = {name for _, name in chosen}
        losses = {name: _loss(clean[name], images[name]) for name in images if name not in taken}
        worst = max(losses, key=lambda name: losses[name], default="")
        if worst and losses[worst] > 0 and len(chosen) < count:
            chosen.append((curve.worst.condition, worst))
    return chosen


def make_examples(report: RobustnessScores, model: ModelUnderTest, pairs: Pairs) -> list[Example]:
    """Predict the chosen pairs again, clean and corrupted."""
    clean = report.clean.condition
    examples = []
    for condition, name in choose_worst(report):
        index = [pairs.dataset.ids.index(name)]
        sample = next(pairs.seen(condition, index))
        before, after = (_predict(model, shown) for shown in (next(pairs.seen(clean, index)), sample))
        miou = report.outcomes[clean].images[name], report.outcomes[condition].images[name]
        examples.append(Example(condition, sample, before, after, miou))
    return examples


def _predict(model: ModelUnderTest, sample: RGBTSample) -> npt.NDArray[np.int64]:
    return model(sample.rgb[None], sample.thermal[None])[0]


def _loss(before: float, after: float) -> float:
    return 0.0 if math.isnan(before) or math.isnan(after) else before - after


def _known(value: float) -> float:
    return math.inf if math.isnan(value) else value
