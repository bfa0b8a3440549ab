"""The tables of a report as text, for Markdown and for the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from cimnet.analysis.robustness.conditions import CLEAN, Condition, amount_in_words
from cimnet.analysis.robustness.robustness_report import Curve, RobustnessReport, mean, scene_means
from cimnet.utils.numbers import percent, pluralize

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
        lines = [self.head, ["---", *["---:"] * (len(self.head) - 1)], *self.rows]
        body = "".join(f"| {' | '.join(text.replace('|', '/') for text in line)} |\n" for line in lines)
        return f"## {self.title}\n\n{self.note}\n\n{body}"


def words(name: str) -> str:
    """A corruption, class or scene as it is read."""
    return name.replace("_", " ").replace("rgb", "RGB")


def drop(value: float) -> str:
    """A relative drop in per cent, negative for a loss."""
    text = "–" if math.isnan(value) else f"{-100 * value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def levels(curve: Curve) -> str:
    """The levels of a curve with their unit, ``2, 10, 20 px``."""
    amounts = [point.condition.amount for point in curve.points]
    first = "".join(f"{amount:g}, " for amount in amounts[:-1])
    return first + amount_in_words(curve.name, amounts[-1])


def corruptions(report: RobustnessReport) -> Table:
    """Every corruption: mIoU by level, means, drop."""
    rows = []
    for name, curve in report.curves.items():
        each = ", ".join(percent(point.miou) for point in curve.points)
        moving, static = mean(p.moving for p in curve.points), mean(p.static for p in curve.points)
        means = percent(curve.mean), percent(moving), percent(static)
        rows.append([words(name), curve.group, levels(curve), each, *means, drop(curve.drop)])
    head = ["corruption", "group", "levels", "mIoU at each", "mean", "moving", "static", "drop %"]
    note = f"mIoU in per cent; clean {percent(report.clean.miou)}. The drop is that of the mean against clean."
    return Table("Corruptions", note, head, rows)


def classes(report: RobustnessReport) -> Table:
    """IoU by class: clean, then each corruption where its mIoU is lowest."""
    names = report.facts.classes
    points = [report.clean, *(curve.worst for curve in report.curves.values())]
    rows = [[words(p.condition.title), *(percent(p.iou[name]) for name in names), percent(p.miou)] for p in points]
    note = "IoU in per cent, clean and at that level of each corruption where the mIoU is lowest."
    return Table("Classes", note, ["condition", *map(words, names), "mIoU"], rows)


def scenes(report: RobustnessReport) -> Table | None:
    """mIoU by scene: clean, then the mean over severities of each corruption; None where no scene is known."""
    names, outcome = list(report.clean.scenes), next(iter(report.outcomes.values()))
    if not names:
        return None
    head = ["corruption", *(f"{words(name)} ({pluralize(outcome.scenes[name][1], 'pair')})" for name in names)]
    rows = [[CLEAN, *map(percent, report.clean.scenes.values())]]
    rows += [[words(name), *map(percent, scene_means(curve, names))] for name, curve in report.curves.items()]
    note = "mIoU in per cent from the confusion matrix of the scene's pairs; for a corruption the mean over its levels."
    return Table("Scenes", note, head, rows)


def paper(report: RobustnessReport) -> list[Table]:
    """Tables IV and V beside the paper's figures, as far as they were measured."""
    return [table for table in (_table4(report), _table5(report)) if table is not None]


def _table4(report: RobustnessReport) -> Table | None:
    from cimnet.analysis.paper_values import TABLE4, TABLE4_CLASSES, TABLE4_PAIRS  # brings what trains: not for workers

    weak = report.subset("weakly_aligned")
    if weak is None:
        return None
    methods = list(TABLE4)[::-1]
    rows = [
        [words(name), percent(weak.iou.get(name, math.nan)), *(f"{TABLE4[method][k]:.1f}" for method in methods)]
        for k, name in enumerate(TABLE4_CLASSES)
    ]
    rows.append(["pairs", str(weak.pairs), *[str(TABLE4_PAIRS)] * len(methods)])
    note = (
        "IoU in per cent of the pairs flagged weakly_aligned. The paper's subset was not published with the data, so "
        "these are other pairs."
    )
    return Table("Weakly aligned pairs (Table IV)", note, ["class", "here", *_paper(methods)], rows)


def _table5(report: RobustnessReport) -> Table | None:
    from cimnet.analysis.paper_values import TABLE5, TABLE5_GROUPS

    methods, rows = list(TABLE5)[::-1], []
    for k, flag in enumerate(TABLE5_GROUPS):
        point = report.subset(flag)
        if point is not None:
            printed = (f"{TABLE5[method][k]:.1f}" for method in methods)
            pairs = f"{point.pairs} ({_TABLE5_PAIRS[k]})"
            rows.append([_FAILURES[flag], _how(point.condition), percent(point.miou), *printed, pairs])
    head = ["subset", "scored here", "mIoU, here", *_paper(methods), "pairs here (paper)"]
    note = "mIoU in per cent of pairs with a broken sensor."
    return Table("Broken sensors (Table V)", note, head, rows) if rows else None


def _how(condition: Condition) -> str:
    return f"pairs flagged {condition.flag}" if condition.flag else f"imitated: sound pairs, {condition.title}"


def _paper(methods: Sequence[str]) -> list[str]:
    return [f"{method}, paper" for method in methods]


def summary(report: RobustnessReport) -> list[tuple[str, str]]:
    """The numbers that come first: value and what it is."""
    found = [(f"{percent(report.clean.miou)} %", "mIoU, clean")]
    if report.curves:
        found += [
            (
                f"{percent(report.mean_corruption_score)} %",
                f"mean corruption score, {pluralize(len(report.curves), 'corruption')}",
            ),
            (f"{percent(report.retained)} %", "of the clean score retained"),
        ]
        found += [(f"{percent(value)} %", f"mean, {GROUPS[group]}") for group, value in report.groups.items()]
    return found


def facts(report: RobustnessReport) -> list[tuple[str, str]]:
    """What the numbers hold for."""
    about = report.facts
    left = f", {about.left_out} with a broken sensor left out" if about.left_out else ""
    convention = "left out of means" if about.absent == "ignore" else "counted as 0"
    return [
        ("model", about.model),
        ("pairs", f"{about.pairs} of split {about.split}{left}"),
        ("data", about.dataset),
        ("moving classes", ", ".join(map(words, about.moving)) or "none"),
        ("classes absent from truth and prediction", convention),
        ("seed of the corruptions", str(about.seed)),
        ("cimnet", about.version),
    ]


def markdown(report: RobustnessReport, brief: bool = False) -> str:
    """The content of ``robustness.md``; `brief`: without the tables of classes and scenes."""
    text = f"# Robustness of {report.facts.model}\n\n"
    text += "".join(f"- {what}: **{value}**\n" for value, what in summary(report)) + "\n"
    text += "".join(f"- {name}: {value}\n" for name, value in facts(report))
    text += "".join(f"- {note}\n" for note in report.facts.notes)
    found = [corruptions(report) if report.curves else None, *paper(report)]
    found += [] if brief else [classes(report), scenes(report)]
    return "\n".join([text, *(table.markdown() for table in found if table is not None)])
