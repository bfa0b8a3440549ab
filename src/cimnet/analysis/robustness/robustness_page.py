"""``robustness.html``: one page with everything in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from cimnet.analysis import report_figures as pictures
from cimnet.analysis.report_page import Card, Panel, render_report
from cimnet.analysis.robustness import robustness_tables as tables
from cimnet.analysis.robustness.curve_figures import LINES, draw_curve
from cimnet.analysis.robustness.robustness_scores import Curve, RobustnessScores, mean
from cimnet.analysis.robustness.worst_pairs import Example
from cimnet.inference.overlay import to_grey, to_rgb
from cimnet.utils.colors import Color
from cimnet.utils.numbers import describe, format_percent

_THEME = "var(--accent)"  # the colour of a line that has none of its own


def robustness_page(scores: RobustnessScores, examples: Sequence[Example], colors: Sequence[Color]) -> str:
    """The HTML document. `colors`: (red, green, blue) of each class."""
    return render_report(
        "robustness.html",
        tiles=tables.summary(scores),
        facts=tables.facts(scores),
        command="every number: robustness.json\nconfusion matrices: conditions/*.json",
        model=scores.facts.model,
        notes=scores.facts.notes,
        clean=scores.clean,
        corruptions=[_corruption(curve) for curve in scores.curves.values()],
        groups=[_group(scores, group) for group in scores.groups],
        lines=[(color or _THEME, name) for name, color, *_ in LINES.values()],
        paper=tables.paper(scores),
        by_class=_by_class(scores),
        classes=list(zip(map(describe, scores.facts.classes), colors, strict=True)),
        scenes=tables.scenes(scores),
        examples=[_card(example, colors) for example in examples],
    )


def _corruption(curve: Curve) -> dict[str, Any]:
    """A row of the first table: means over the levels."""
    return {
        "name": f"{describe(curve.name)} ({tables.levels(curve)})",
        "mean": curve.mean,
        "change": tables.change(curve.drop),
        "loss": curve.drop,
        "moving": mean(point.moving for point in curve.points),
        "static": mean(point.static for point in curve.points),
        "worst": curve.worst.miou,
    }


def _group(scores: RobustnessScores, group: str) -> dict[str, Any]:
    """The curves of the corruptions of one group, all on one scale."""
    curves = [curve for curve in scores.curves.values() if curve.group == group]
    points = [scores.clean, *(point for curve in curves for point in curve.points)]
    values = [getattr(point, key) for point in points for key in LINES]
    top = max((value for value in values if not math.isnan(value)), default=1.0)
    panels = []
    for curve in curves:
        name = describe(curve.name)
        image = pictures.themed(partial(draw_curve, curve, scores.clean, top), f"mIoU over {name}")
        panels.append(Panel(f"{name}: {tables.change(curve.drop)} %", image))
    title = f"{tables.GROUPS[group]}: {format_percent(scores.groups[curves[0].group])} %"
    return {"title": title, "curves": panels}


def _by_class(scores: RobustnessScores) -> dict[str, Any]:
    """The table of classes with the loss of each score against the clean one, 0..1."""
    table, clean = tables.classes(scores), scores.clean
    rows = []
    for point in (clean, *(curve.worst for curve in scores.curves.values())):
        shown = [*(point.iou[name] for name in scores.facts.classes), point.miou]
        judged = [(point.iou[name], clean.iou[name]) for name in scores.facts.classes]
        judged.append((point.labelled, clean.labelled))
        losses = [1 - value / before if before else 0.0 for value, before in judged]
        cells = list(zip(shown, losses, strict=True))
        rows.append({"name": describe(point.condition.title), "cells": cells})
    return {**table._asdict(), "rows": rows}


def _card(example: Example, colors: Sequence[Color]) -> Card:
    sample = example.sample
    assert sample.label is not None  # scored pairs have one
    before, after = map(format_percent, example.miou)
    panels = [
        Panel("RGB, as the model got it", pictures.photo(to_rgb(sample.rgb), f"RGB of {sample.id}")),
        Panel("thermal, as the model got it", pictures.photo(to_grey(sample.thermal), "thermal image")),
        Panel(f"prediction, clean: {before} %", _paint(example.before, colors, "prediction, clean")),
        Panel(f"prediction, corrupted: {after} %", _paint(example.after, colors, "prediction, corrupted")),
        Panel("label", _paint(sample.label.numpy(), colors, "label")),
    ]
    return Card(sample.id, [example.condition.title, sample.scene], f"mIoU {before} → {after} %", panels)


def _paint(ids: npt.NDArray[np.integer[Any]], colors: Sequence[Color], alt: str) -> pictures.Picture:
    return pictures.drawing(pictures.paint_label(ids, colors), alt)
