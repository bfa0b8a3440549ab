"""The scores of a suite: by corruption, group, class and scene."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cimnet.analysis.robustness.conditions import CLEAN, Condition
from cimnet.analysis.robustness.outcome import Outcome
from cimnet.data.corruptions import CORRUPTIONS, Group
from cimnet.evaluation.metrics import Absent, Matrix, scores
from cimnet.utils.numbers import json_number


def mean(values: Iterable[float]) -> float:
    """Mean of the known values, NaN where there is none."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


@dataclass(frozen=True)
class Facts:
    """The data and conventions of a measurement.

    Attributes:
        model: name of the model in the report.
        dataset, split: the folder and the split.
        pairs: number of pairs scored.
        left_out: number of pairs left out because a sensor is broken.
        classes: class names, in the order of the ids.
        moving: names of the classes whose objects move.
        absent: convention for classes without a pixel, see :class:`cimnet.evaluation.Scores`.
        seed: seed of the corruptions.
        version: version of this package.
        notes: further facts that a reader must know.
    """

    model: str
    dataset: str
    split: str
    pairs: int
    left_out: int
    classes: tuple[str, ...]
    moving: tuple[str, ...]
    absent: Absent
    seed: int
    version: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Point:
    """Scores of one condition in 0..1, from one confusion matrix over its pairs; NaN if there is nothing to judge by.

    Attributes:
        condition: the corruption and its level.
        pairs: number of pairs scored.
        miou: mean IoU of all classes.
        labelled: mean IoU of the classes that the labels hold, so that a class which is only predicted, and counts as 0
            in `miou`, changes nothing: what scores are compared by.
        moving, static: mean IoU of the classes whose objects move, and of the others.
        iou: IoU by class name.
        scenes: mean IoU by scene.
    """

    condition: Condition
    pairs: int
    miou: float
    labelled: float
    moving: float
    static: float
    iou: dict[str, float]
    scenes: dict[str, float]

    @classmethod
    def of(cls, condition: Condition, outcome: Outcome, facts: Facts) -> Point:
        """Scores of an outcome."""
        iou = _iou(outcome.matrix, facts)
        held = outcome.matrix.sum(1) > 0
        return cls(
            condition=condition,
            pairs=len(outcome.images),
            miou=mean(iou.values()),
            labelled=mean(value for value, known in zip(iou.values(), held, strict=True) if known),
            moving=mean(value for name, value in iou.items() if name in facts.moving),
            static=mean(value for name, value in iou.items() if name not in facts.moving),
            iou=iou,
            scenes={name: mean(_iou(matrix, facts).values()) for name, (matrix, _) in sorted(outcome.scenes.items())},
        )

    def to_dict(self) -> dict[str, object]:
        """For ``robustness.json``."""
        condition = self.condition
        content: dict[str, object] = {} if condition.name == CLEAN else {"level": condition.amount}
        if condition.severity is not None:
            content = {"severity": condition.severity, **content}
        return content | {
            **({"flag": condition.flag} if condition.flag else {}),
            "pairs": self.pairs,
            "miou": json_number(self.miou),
            "moving": json_number(self.moving),
            "static": json_number(self.static),
            "iou": {name: json_number(value) for name, value in self.iou.items()},
            "scenes": {name: json_number(value) for name, value in self.scenes.items()},
        }


@dataclass(frozen=True)
class Curve:
    """One corruption over its severities.

    Attributes:
        name: name of the corruption.
        points: scores, in the order in which the severities were asked for.
        clean: scores without the corruption.
    """

    name: str
    points: tuple[Point, ...]
    clean: Point

    @property
    def group(self) -> Group:
        """The part that the corruption changes: geometry, rgb or thermal."""
        return CORRUPTIONS[self.name].group

    @property
    def mean(self) -> float:
        """Mean of mIoU over the severities."""
        return mean(point.miou for point in self.points)

    @property
    def labelled(self) -> float:
        """The same mean over the classes that the labels hold."""
        return mean(point.labelled for point in self.points)

    @property
    def drop(self) -> float:
        """The loss as a share of the clean score, by the classes that the labels hold: 0 for none, 1 for all of it."""
        return 1 - self.labelled / self.clean.labelled if self.clean.labelled else math.nan

    @property
    def worst(self) -> Point:
        """The severity with the lowest mIoU."""
        return min(self.points, key=lambda point: math.inf if math.isnan(point.miou) else point.miou)

    def to_dict(self) -> dict[str, object]:
        """For ``robustness.json``."""
        return {
            "group": self.group,
            "unit": CORRUPTIONS[self.name].unit,
            "mean": json_number(self.mean),
            "drop": json_number(self.drop),
            "points": [point.to_dict() for point in self.points],
        }


@dataclass(frozen=True)
class RobustnessScores:
    """All scores of a suite.

    Attributes:
        facts: model, data, conventions.
        outcomes: counts by condition; ``clean`` first.
    """

    facts: Facts
    outcomes: Mapping[Condition, Outcome]

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """Scores of every condition, in their order."""
        return tuple(Point.of(condition, outcome, self.facts) for condition, outcome in self.outcomes.items())

    @property
    def clean(self) -> Point:
        """Without any corruption."""
        return self.points[0]

    @cached_property
    def curves(self) -> dict[str, Curve]:
        """The curves by corruption, in the order of `CORRUPTIONS`."""
        found: dict[str, list[Point]] = {}
        for point in self.points:
            if point.condition.name != CLEAN:
                found.setdefault(point.condition.name, []).append(point)
        return {name: Curve(name, tuple(found[name]), self.clean) for name in CORRUPTIONS if name in found}

    @property
    def groups(self) -> dict[Group, float]:
        """Mean corruption score of each group that was measured."""
        groups = dict.fromkeys(curve.group for curve in self.curves.values())
        return {group: mean(c.mean for c in self.curves.values() if c.group == group) for group in groups}

    @property
    def mean_corruption_score(self) -> float:
        """Mean of mIoU, first over the severities of a corruption, then over corruptions; NaN without corruptions."""
        return mean(curve.mean for curve in self.curves.values())

    @property
    def retained(self) -> float:
        """The mean corruption score as a share of the clean score, by the classes that the labels hold."""
        kept = mean(curve.labelled for curve in self.curves.values())
        return kept / self.clean.labelled if self.clean.labelled else math.nan

    def subset(self, flag: str) -> Point | None:
        """Scores of the pairs with a flag, or of the condition that imitates them; None where neither was measured."""
        return next((p for p in self.points if flag in (p.condition.flag, p.condition.stands_for)), None)


def scene_means(curve: Curve, scenes: Sequence[str]) -> list[float]:
    """Mean over the severities of a corruption, by scene."""
    return [mean(point.scenes.get(scene, math.nan) for point in curve.points) for scene in scenes]


def _iou(matrix: Matrix, facts: Facts) -> dict[str, float]:
    values: np.ndarray = scores(matrix, facts.absent).iou
    return dict(zip(facts.classes, map(float, values), strict=True))
