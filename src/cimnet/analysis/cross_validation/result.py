"""Scores of a cross-validation: pooled over all tested images, and how far they spread over seeds and over folds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Any

import numpy as np

from cimnet.analysis.cross_validation.held_out import HeldOut, join_folds, join_seeds
from cimnet.evaluation.metrics import Matrix, Scores, scores
from cimnet.evaluation.spread import spread
from cimnet.utils.numbers import json_number, pluralize
from cimnet.utils.tables import markdown_table
from cimnet.version import __version__


@dataclass
class CrossResult:
    """Outcome of :func:`cimnet.analysis.cross_validation.cross_validate`, as far as it came.

    Attributes:
        classes: names, by class id.
        groups: group of each tested image.
        untrained: by fold, the classes without a pixel in its training part.
        seeds: of the runs.
        found: by seed and fold, what is scored.
    """

    classes: tuple[str, ...]
    groups: dict[str, str]
    untrained: tuple[tuple[str, ...], ...]
    seeds: tuple[int, ...]
    found: dict[tuple[int, int], HeldOut] = field(default_factory=dict)

    @property
    def folds(self) -> range:
        """Numbers of the folds."""
        return range(len(self.untrained))

    @property
    def complete(self) -> tuple[int, ...]:
        """Seeds of which every fold is scored."""
        return tuple(seed for seed in self.seeds if all((seed, fold) in self.found for fold in self.folds))

    def held_out(self) -> HeldOut | None:
        """The results on all images by each complete seed; None if no seed is complete."""
        by_seed = [join_folds([self.found[seed, fold] for fold in self.folds]) for seed in self.complete]
        return join_seeds(by_seed) if by_seed else None

    def pooled(self, seed: int) -> Matrix:
        """One confusion matrix over all images of a seed that is complete, (K, K)."""
        return np.sum([self.found[seed, fold].pooled[0] for fold in self.folds], axis=0)

    def by_seed(self) -> dict[int, Scores]:
        """Scores over all images, of each seed that is complete."""
        return {seed: scores(self.pooled(seed)) for seed in self.complete}

    def by_fold(self, fold: int) -> dict[int, float]:
        """mIoU of a fold, by the seeds with which it is scored."""
        return {s: scores(self.found[s, fold].pooled[0]).miou for s in self.seeds if (s, fold) in self.found}

    def to_dict(self) -> dict[str, Any]:
        """Return the results for the record: numbers in 0..1, null where a class cannot be judged."""
        by_seed, by_fold = self.by_seed(), [self.by_fold(fold) for fold in self.folds]
        folds = [_known(values.values()) for values in by_fold]
        return {
            "cimnet": __version__,
            "classes": list(self.classes),
            "images": len(self.groups),
            "groups": len(set(self.groups.values())),
            "group_of": self.groups,
            "seeds": list(self.seeds),
            "done": len(self.found),
            "planned": len(self.seeds) * len(self.folds),
            "miou": _summary([score.miou for score in by_seed.values()]),
            "miou_over_folds": _summary([mean(values) for values in folds if values]),
            "iou": {
                name: _summary([float(score.iou[k]) for score in by_seed.values()])
                for k, name in enumerate(self.classes)
            },
            "by_seed": {
                str(seed): {
                    "miou": json_number(score.miou),
                    "pixel_accuracy": json_number(score.pixel_accuracy),
                    "iou": {name: json_number(v) for name, v in zip(self.classes, score.iou, strict=True)},
                    "confusion": self.pooled(seed).tolist(),
                }
                for seed, score in by_seed.items()
            },
            "by_fold": [
                {
                    "miou": {str(seed): json_number(value) for seed, value in values.items()},
                    "untrained_classes": list(untrained),
                }
                for values, untrained in zip(by_fold, self.untrained, strict=True)
            ],
        }

    def to_markdown(self) -> str:
        """Tables in per cent: classes over all images, then folds."""
        by_seed = self.by_seed().values()
        rows = [[name, spread([float(s.iou[k]) for s in by_seed])] for k, name in enumerate(self.classes)]
        rows.append(["**mean IoU**", f"**{spread([score.miou for score in by_seed])}**"])
        folds = [
            [fold, self._images_of(fold), spread([*self.by_fold(fold).values()]), ", ".join(self.untrained[fold])]
            for fold in self.folds
        ]
        of_folds = spread([mean(values) for fold in self.folds if (values := _known(self.by_fold(fold).values()))])
        images, groups = pluralize(len(self.groups), "image"), pluralize(len(set(self.groups.values())), "group")
        note = (
            f"{images} in {groups}, each image tested once a seed; {pluralize(len(self.complete), 'seed')}, ± over "
            f"seeds. One confusion matrix over all images; mean of the folds: {of_folds} (± over folds)."
        )
        head = ["fold", "images", "mIoU", "classes without a pixel in train"]
        return (
            f"{markdown_table(['class', 'IoU'], rows)}\n{note}\n\n{markdown_table(head, folds, 'lrrl')}"
        )  # fmt: skip

    def _images_of(self, fold: int) -> int | str:
        return next((len(self.found[seed, fold].ids) for seed in self.seeds if (seed, fold) in self.found), "")


def _known(values: Iterable[float]) -> list[float]:
    return [value for value in values if not np.isnan(value)]


def _summary(values: Iterable[float]) -> dict[str, float | None]:
    """Mean and sample standard deviation of those that are numbers."""
    known = _known(values)
    return {
        "mean": mean(known) if known else None,
        "standard_deviation": stdev(known) if len(known) > 1 else None,
    }
