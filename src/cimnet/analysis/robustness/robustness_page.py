"""``robustness.html``: one page with everything in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from cimnet.analysis import report_figures as pictures
from cimnet.analysis import report_page as html
from cimnet.analysis.robustness import robustness_tables as tables
from cimnet.analysis.robustness.conditions import CLEAN
from cimnet.analysis.robustness.curve_figures import LINES, draw_curve
from cimnet.analysis.robustness.robustness_report import Curve, RobustnessReport, mean
from cimnet.analysis.robustness.worst_pairs import Example
from cimnet.data.classes import Color
from cimnet.inference.overlay import to_grey, to_rgb
from cimnet.utils.numbers import percent

_SUBTITLE = (
    "The test pairs are spoilt on purpose, one defect at a time and ever more strongly, and the model is scored again."
)
_NOTE = (
    "Every score comes from one confusion matrix over all pairs under one condition, never from means over images. "
    "The mean corruption score is the mean of mIoU, first over the levels of a corruption, then over the corruptions; "
    "retained is its share of the clean score. The corruptions are computed, so they show what a model is sensitive "
    "to; they do not replace pictures taken with a failing camera."
)
_CURVES = (
    "mIoU in per cent over the level of a corruption, beginning with clean; dotted: the clean scores. The label stays "
    "where the RGB image is."
)
_EXAMPLES = (
    "Of the corruptions that cost most, that level and that pair which lost most: picked because they are bad, not "
    "because they are typical. mIoU of one pair is over the classes in its label or prediction."
)


def robustness_page(report: RobustnessReport, examples: Sequence[Example], colors: Sequence[Color]) -> str:
    """The HTML document. `colors`: (red, green, blue) of each class."""
    sections = [
        _corruptions(report),
        *(_group(report, group) for group in report.groups),
        *(_plain(table) for table in tables.paper(report)),
        _classes(report, colors),
        _scenes(report),
        _examples(report, examples, colors),
    ]
    return html.page(
        title=f"Robustness of {report.facts.model}",
        subtitle=_SUBTITLE,
        tiles=tables.summary(report),
        note=" ".join([_NOTE, *report.facts.notes]),
        facts=tables.facts(report),
        command="every number: robustness.json\nconfusion matrices: conditions/*.json",
        content="".join(sections),
    )


def _corruptions(report: RobustnessReport) -> str:
    if not report.curves:
        return ""
    clean = report.clean
    cells = html.bar(clean.miou) + html.cell("") + html.cell(percent(clean.moving)) + html.cell(percent(clean.static))
    rows = html.row(CLEAN, cells + html.cell(""), css="total")
    for name, curve in report.curves.items():
        rows += html.row(f"{tables.words(name)} ({tables.levels(curve)})", _cells(curve))
    head = ["corruption (levels)", "mean mIoU", "drop %", "moving", "static", "worst level"]
    note = (
        "In per cent, means over the levels. The drop is relative to clean. Moving and static are the means over the "
        "classes whose things move and over the others; the last column is the lowest mIoU of all levels."
    )
    return html.section("Corruptions", note, html.table(head, rows))


def _cells(curve: Curve) -> str:
    parts = (mean(point.moving for point in curve.points), mean(point.static for point in curve.points))
    cells = html.bar(curve.mean) + _shaded(tables.drop(curve.drop), curve.drop)
    return cells + "".join(html.cell(percent(value)) for value in (*parts, curve.worst.miou))


def _shaded(text: str, loss: float) -> str:
    """A cell whose ground is the redder the larger the loss, 0..1."""
    share = 0.0 if math.isnan(loss) else min(max(loss, 0.0), 1.0)
    return f'<td style="background: rgb(213 94 0 / {0.55 * share:.2f})">{text}</td>'


def _group(report: RobustnessReport, group: str) -> str:
    curves = [curve for curve in report.curves.values() if curve.group == group]
    points = [report.clean, *(point for curve in curves for point in curve.points)]
    values = [getattr(point, key) for point in points for key in LINES]
    top = max((value for value in values if not math.isnan(value)), default=1.0)
    drawn = ""
    for curve in curves:
        text = f"mIoU over {tables.words(curve.name)}"
        image = pictures.themed(partial(draw_curve, curve, report.clean, top), text)
        drawn += html.figure(image, f"{tables.words(curve.name)}: {tables.drop(curve.drop)} %")
    inks = [(name, color or "var(--accent)") for name, color, *_ in LINES.values()]
    marks = [(f'<i class="arrow" style="color:{ink}"></i>', name) for name, ink in inks]
    score = percent(report.groups[curves[0].group])
    content = html.legend(marks) + f'<div class="row curves">{drawn}</div>'
    return html.section(f"{tables.GROUPS[group]}: {score} %", _CURVES, content)


def _classes(report: RobustnessReport, colors: Sequence[Color]) -> str:
    table, clean = tables.classes(report), report.clean
    rows = ""
    for point in (clean, *(curve.worst for curve in report.curves.values())):
        pairs = [(point.iou[name], clean.iou[name]) for name in report.facts.classes] + [(point.miou, clean.miou)]
        cells = "".join(_shaded(percent(value), 1 - value / before if before else 0) for value, before in pairs)
        rows += html.row(tables.words(point.condition.title), cells, css="total" if point is clean else "")
    note = f"{table.note} The redder, the larger the loss relative to clean."
    return html.section(table.title, note, html.table(table.head, rows) + html.legend(_swatches(report, colors)))


def _swatches(report: RobustnessReport, colors: Sequence[Color]) -> list[tuple[str, str]]:
    names = map(tables.words, report.facts.classes)
    return [(html.swatch(color), name) for name, color in zip(names, colors, strict=True)]


def _scenes(report: RobustnessReport) -> str:
    table = tables.scenes(report)
    return "" if table is None else _plain(table)


def _plain(table: tables.Table) -> str:
    rows = "".join(html.row(row[0], "".join(html.cell(text) for text in row[1:])) for row in table.rows)
    return html.section(table.title, table.note, html.table(table.head, rows))


def _examples(report: RobustnessReport, examples: Sequence[Example], colors: Sequence[Color]) -> str:
    if not examples:
        return ""
    marks = [*_swatches(report, colors), ('<i class="hatch"></i>', "not judged")]
    cards = "".join(_card(example, colors) for example in examples)
    return html.section("Worst examples", _EXAMPLES, html.legend(marks) + cards)


def _card(example: Example, colors: Sequence[Color]) -> str:
    sample, (before, after) = example.sample, example.miou
    assert sample.label is not None  # scored pairs have one
    label = sample.label.numpy()
    shown = [
        ("RGB, as the model got it", pictures.photo(to_rgb(sample.rgb), f"RGB of {sample.id}")),
        ("thermal, as the model got it", pictures.photo(to_grey(sample.thermal), "thermal image")),
        (f"prediction, clean: {percent(before)} %", _paint(example.before, colors, "prediction, clean")),
        (f"prediction, corrupted: {percent(after)} %", _paint(example.after, colors, "prediction, corrupted")),
        ("label", _paint(label, colors, "label")),
    ]
    aside = f"mIoU {percent(before)} → {percent(after)} %"
    chips = [tables.words(example.condition.title), sample.scene]
    return html.card(sample.id, chips, aside, "five", shown)


def _paint(ids: npt.NDArray[np.integer[Any]], colors: Sequence[Color], alt: str) -> str:
    return pictures.drawing(pictures.paint_label(ids, colors), alt)
