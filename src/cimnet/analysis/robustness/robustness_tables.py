"""The tables of a report as text, for Markdown and for the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from cimnet.analysis.paper_values import TABLE4, TABLE4_CLASSES, TABLE4_PAIRS, TABLE5, TABLE5_GROUPS
from cimnet.analysis.robustness.conditions import CLEAN, Condition, amount_in_words
from cimnet.analysis.robustness.robustness_scores import Curve, RobustnessScores, mean, scene_means
from cimnet.utils.numbers import describe, format_number, format_percent, pluralize
from cimnet.utils.tables import markdown_table

GROUPS = {"geometry": "Geometry", "rgb": "RGB", "thermal": "Thermal"}
_FAILURES = {"rgb_broken": "RGB failure", "thermal_broken": "thermal failure"}
_TABLE5_PAIRS = (151, 91)


class Table(NamedTuple):
    """A titled table; the first column names the rows."""

    title: str
    note: str
    head: list[str]
    rows: list[list[str]]

    def markdown(self) -> str:
        """With its heading."""
        return f"## {self.title}\n\n{self.note}\n\n{markdown_table(self.head, self.rows)}"


def change(drop: float) -> str:
    """The change of a score in per cent of the clean one, negative for a loss; ``drop`` is the loss as a share."""
    text = format_number(-100 * drop, "+.1f")
    return "0.0" if text in ("+0.0", "−0.0") else text


def levels(curve: Curve) -> str:
    """The levels of a curve with their unit, ``2, 10, 20 px``."""
    amounts = [point.condition.amount for point in curve.points]
    first = "".join(f"{amount:g}, " for amount in amounts[:-1])
    return first + amount_in_words(curve.name, amounts[-1])


def corruptions(scores: RobustnessScores) -> Table:
    """Every corruption: mIoU by level, means, change."""
    rows = []
    for name, curve in scores.curves.items():
        each = ", ".join(format_percent(point.miou) for point in curve.points)
        moving, static = mean(p.moving for p in curve.points), mean(p.static for p in curve.points)
        means = format_percent(curve.mean), format_percent(moving), format_percent(static)
        rows.append([describe(name), curve.group, levels(curve), each, *means, change(curve.drop)])
    head = ["corruption", "group", "levels", "mIoU at each", "mean", "moving", "static", "change %"]
    note = (
        f"mIoU in per cent; clean {format_percent(scores.clean.miou)}. The change is that of the mean over the classes "
        "in the labels, in per cent of clean."
    )
    return Table("Corruptions", note, head, rows)


def classes(scores: RobustnessScores) -> Table:
    """IoU by class: clean, then each corruption where its mIoU is lowest."""
    names = scores.facts.classes
    points = [scores.clean, *(curve.worst for curve in scores.curves.values())]
    rows = [
        [describe(p.condition.title), *(format_percent(p.iou[name]) for name in names), format_percent(p.miou)]
        for p in points
    ]
    note = "IoU in per cent, clean and at that level of each corruption where the mIoU is lowest."
    return Table("Classes", note, ["condition", *map(describe, names), "mIoU"], rows)


def scenes(scores: RobustnessScores) -> Table | None:
    """mIoU by scene: clean, then the mean over severities of each corruption; None where no scene is known."""
    names, outcome = list(scores.clean.scenes), next(iter(scores.outcomes.values()))
    if not names:
        return None
    head = ["corruption", *(f"{describe(name)} ({pluralize(outcome.scenes[name][1], 'pair')})" for name in names)]
    rows = [[CLEAN, *map(format_percent, scores.clean.scenes.values())]]
    rows += [[describe(name), *map(format_percent, scene_means(curve, names))] for name, curve in scores.curves.items()]
    note = "mIoU in per cent from the confusion matrix of the scene's pairs; for a corruption the mean over its levels."
    return Table("Scenes", note, head, rows)


def paper(scores: RobustnessScores) -> list[Table]:
    """Tables IV and V beside the paper's figures, as far as they were measured."""
    return [table for table in (_table4(scores), _table5(scores)) if table is not None]


def _table4(scores: RobustnessScores) -> Table | None:
    weak = scores.subset("weakly_aligned")
    if weak is None:
        return None
    methods = list(TABLE4)[::-1]
    rows = [
        [
            describe(name),
            format_percent(weak.iou.get(name, math.nan)),
            *(f"{TABLE4[method][k]:.1f}" for method in methods),
        ]
        for k, name in enumerate(TABLE4_CLASSES)
    ]
    rows.append(["pairs", str(weak.pairs), *[str(TABLE4_PAIRS)] * len(methods)])
    note = (
        "IoU in per cent of the pairs flagged weakly_aligned. The paper's subset was not published with the data, so "
        "these are other pairs."
    )
    return Table("Weakly aligned pairs (Table IV)", note, ["class", "here", *_paper(methods)], rows)


def _table5(scores: RobustnessScores) -> Table | None:
    methods, rows = list(TABLE5)[::-1], []
    for k, flag in enumerate(TABLE5_GROUPS):
        point = scores.subset(flag)
        if point is not None:
            printed = (f"{TABLE5[method][k]:.1f}" for method in methods)
            pairs = f"{point.pairs} ({_TABLE5_PAIRS[k]})"
            rows.append([_FAILURES[flag], _how(point.condition), format_percent(point.miou), *printed, pairs])
    head = ["subset", "scored here", "mIoU, here", *_paper(methods), "pairs here (paper)"]
    note = "mIoU in per cent of pairs with a broken sensor."
    return Table("Broken sensors (Table V)", note, head, rows) if rows else None


def _how(condition: Condition) -> str:
    return f"pairs flagged {condition.flag}" if condition.flag else f"imitated: sound pairs, {condition.title}"


def _paper(methods: Sequence[str]) -> list[str]:
    return [f"{method}, paper" for method in methods]


def summary(scores: RobustnessScores) -> list[tuple[str, str]]:
    """The summary numbers: value and meaning."""
    found = [(scores.clean.miou, "mIoU, clean")]
    if scores.curves:
        found += [
            (scores.mean_corruption_score, f"mean corruption score, {pluralize(len(scores.curves), 'corruption')}"),
            (scores.retained, "of the clean score retained"),
        ]
        found += [(value, f"mean, {GROUPS[group]}") for group, value in scores.groups.items()]
    return [(f"{format_percent(value)} %", what) for value, what in found]


def facts(scores: RobustnessScores) -> list[tuple[str, str]]:
    """The data and settings behind the numbers."""
    about = scores.facts
    left = f", {about.left_out} with a broken sensor left out" if about.left_out else ""
    convention = "left out of means" if about.absent == "ignore" else "counted as 0"
    return [
        ("model", about.model),
        ("pairs", f"{about.pairs} of split {about.split}{left}"),
        ("data", about.dataset),
        ("moving classes", ", ".join(map(describe, about.moving)) or "none"),
        ("classes absent from truth and prediction", convention),
        ("seed of the corruptions", str(about.seed)),
        ("cimnet", about.version),
    ]


def markdown(scores: RobustnessScores, brief: bool = False) -> str:
    """The content of ``robustness.md``; `brief`: without the tables of classes and scenes."""
    text = f"# Robustness of {scores.facts.model}\n\n"
    text += "".join(f"- {what}: **{value}**\n" for value, what in summary(scores)) + "\n"
    text += "".join(f"- {name}: {value}\n" for name, value in facts(scores))
    text += "".join(f"- {note}\n" for note in scores.facts.notes)
    found = [corruptions(scores) if scores.curves else None, *paper(scores)]
    found += [] if brief else [classes(scores), scenes(scores)]
    return "\n".join([text, *(table.markdown() for table in found if table is not None)])
