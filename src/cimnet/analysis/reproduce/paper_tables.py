"""Tables II to VI as Markdown: measured figures in a column "here", the paper's in columns marked "paper"."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cimnet.analysis.paper_values import (
    KUST4K,
    MFNET,
    TABLE2,
    TABLE3,
    TABLE4,
    TABLE4_CLASSES,
    TABLE4_PAIRS,
    TABLE5,
    TABLE5_GROUPS,
    TABLE6,
    Printed,
)
from cimnet.evaluation.spread import spread
from cimnet.utils.numbers import describe
from cimnet.utils.tables import markdown_table

Scores = dict[str, Any]  # what `cimnet eval --json` writes


class Measured(NamedTuple):
    """The measurements of one model: its name, scores by run, millions of parameters, G MACs of a pair."""

    model: str
    scores: Sequence[Scores]
    parameters: float
    gmacs: float


def table2(measured: Sequence[Measured]) -> str:
    """Kust4K test: IoU by class, mIoU, cost at 480×640, mIoU of all subsets."""
    return _by_class(KUST4K, TABLE2, measured)


def table6(measured: Sequence[Measured]) -> str:
    """MFNet test, as :func:`table2`."""
    return _by_class(MFNET, TABLE6, measured)


def _by_class(classes: Sequence[str], printed: Sequence[Printed], measured: Sequence[Measured]) -> str:
    """A column for each model, with the paper's beside it; then the paper's others."""
    columns: list[list[str]] = []
    left = list(printed[::-1])  # CIMNet is printed last and comes first here
    for one in measured:
        columns.append(_here_column(classes, one, len(measured) > 1))
        columns += [_paper_column(row) for row in left if row.model == one.model]
        left = [row for row in left if row.model != one.model]
    columns += [_paper_column(row) for row in left]
    titles = ["", *map(describe, classes), "**mIoU**", "M parameters", "GMACs"]
    head, *rows = zip(titles, *columns, strict=True)
    return markdown_table(head, rows) + _subsets(measured)


def _here_column(classes: Sequence[str], one: Measured, named: bool) -> list[str]:
    ious = [spread([s["iou"][name] for s in one.scores]) for name in classes]
    miou = f"**{spread([s['miou'] for s in one.scores])}**"
    return [_title(one, named), *ious, miou, _plain(one.parameters), _plain(one.gmacs)]


def _paper_column(row: Printed) -> list[str]:
    title = f"{row.method}, {row.backbone}, paper"
    return [title, *(f"{iou:.1f}" for iou in row.iou), f"{row.miou:.1f}", _plain(row.parameters), _plain(row.gmacs)]


def _subsets(measured: Sequence[Measured]) -> str:
    """mIoU by scene and flag, for groups that all runs have."""
    every = [scores["groups"] for one in measured for scores in one.scores]
    groups = [name for name in every[0] if all(name in found for found in every)]
    rows = [
        [
            describe(name),
            str(every[0][name]["images"]),
            *(spread([s["groups"][name]["miou"] for s in one.scores]) for one in measured),
        ]
        for name in groups
    ]
    head = ["subset", "pairs", *(f"mIoU, {_title(one, len(measured) > 1)}" for one in measured)]
    return "\n" + markdown_table(head, rows) if rows else ""


def _title(one: Measured, named: bool) -> str:
    return f"{one.model}, {_here(one.scores)}" if named else _here(one.scores)


def table3(scores: Mapping[int, Mapping[int, Scores]]) -> str:
    """The ablation. ``scores`` by row number and seed; rows that are missing or unfinished are shown as they are.

    Gains over row 1 are means of differences between runs of the same seed.
    """
    head = ["No.", "MIR", "MSM", "SWR", "CWR", "here", "gain, here", "seeds", "paper", "gain, paper"]
    base = scores.get(1, {})
    rows = []
    for row in TABLE3:
        found = scores.get(row.number, {})
        gains = [found[seed]["miou"] - base[seed]["miou"] for seed in found if seed in base and row.number > 1]
        marks = ["✓" if on else "" for on in (row.mir, row.msm, row.swr, row.cwr)]
        if row.msm and not row.swr:
            marks[1] = "(✓)"
        printed = f"{row.miou:.1f}", f"{row.miou - TABLE3[0].miou:+.1f}" if row.number > 1 else ""
        here = spread([s["miou"] for s in found.values()]), spread(gains, "+") if gains else "", str(len(found))
        rows.append([f"{row.number}{'*' if row.inferred else ''}", *marks, *here, *printed])
    return markdown_table(head, rows)


def table4(scores: Sequence[Scores]) -> str:
    """IoU of five classes over the weakly aligned pairs of the test split, and the loss against all pairs."""
    weak = [s["groups"]["weakly_aligned"] for s in scores]
    whole = dict(zip(KUST4K, TABLE2[-1].iou, strict=True))
    names = list(TABLE4)[::-1]
    head = ["", _here(scores), "against all pairs, here", *(f"{name}, paper" for name in names)]
    rows = []
    for k, name in enumerate(TABLE4_CLASSES):
        lost = [_minus(w["iou"][name], s["iou"][name]) for w, s in zip(weak, scores, strict=True)]
        printed = (f"{TABLE4[method][k]:.1f}" for method in names)
        rows.append([name, spread([w["iou"][name] for w in weak]), spread(lost, "+"), *printed])
    falls = (f"{name} {TABLE4['CIMNet'][k] - whole[name]:+.1f}" for k, name in enumerate(TABLE4_CLASSES))
    rows.append(["pairs", str(weak[0]["images"]), "", *[str(TABLE4_PAIRS)] * len(names)])
    return markdown_table(head, rows) + f"\nCIMNet, paper, against all test pairs: {', '.join(falls)}.\n"


def table5(scores: Sequence[Scores]) -> str:
    """mIoU over the test pairs with a broken sensor."""
    names = list(TABLE5)[::-1]
    rows = [
        [
            {"rgb_broken": "RGB failure", "thermal_broken": "thermal failure"}[group],
            spread([s["groups"][group]["miou"] for s in scores]),
            *(f"{TABLE5[name][k]:.1f}" for name in names),
            str(scores[0]["groups"][group]["images"]),
        ]
        for k, group in enumerate(TABLE5_GROUPS)
    ]
    return markdown_table(["", _here(scores), *(f"{name}, paper" for name in names), "pairs here"], rows)


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _plain(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.1f}"


def _here(scores: Sequence[Scores]) -> str:
    return "here" if len(scores) == 1 else f"here, {len(scores)} runs"
