"""Tables II to VI as Markdown: measured figures in a column "here", the paper's in columns marked "paper"."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

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
Cost = tuple[float, float]  # millions of parameters, G MACs of a pair


def table2(scores: Sequence[Scores], cost: Cost) -> str:
    """Kust4K test: IoU by class, mIoU, cost at 480×640, mIoU of all subsets."""
    return _by_class(KUST4K, TABLE2, scores, cost)


def table6(scores: Sequence[Scores], cost: Cost) -> str:
    """MFNet test, as :func:`table2`."""
    return _by_class(MFNET, TABLE6, scores, cost)


def _by_class(classes: Sequence[str], printed: Sequence[Printed], scores: Sequence[Scores], cost: Cost) -> str:
    columns = printed[::-1]  # CIMNet is printed last and comes first here
    head = ["", _here(scores), *(f"{row.method}, {row.backbone}, paper" for row in columns)]
    rows = [
        [describe(name), spread([s["iou"][name] for s in scores]), *(f"{row.iou[k]:.1f}" for row in columns)]
        for k, name in enumerate(classes)
    ]
    rows.append(["**mIoU**", f"**{spread([s['miou'] for s in scores])}**", *(f"{row.miou:.1f}" for row in columns)])
    rows.append(["M parameters", _plain(cost[0]), *(_plain(row.parameters) for row in columns)])
    rows.append(["GMACs", _plain(cost[1]), *(_plain(row.gmacs) for row in columns)])
    return markdown_table(head, rows) + _subsets(scores)


def _subsets(scores: Sequence[Scores]) -> str:
    """mIoU by scene and flag, for groups that all runs have."""
    groups = [name for name in scores[0]["groups"] if all(name in s["groups"] for s in scores)]
    found = {name: [s["groups"][name] for s in scores] for name in groups}
    rows = [
        [describe(name), str(group[0]["images"]), spread([g["miou"] for g in group])] for name, group in found.items()
    ]
    return "\n" + markdown_table(["subset", "pairs", f"mIoU, {_here(scores)}"], rows) if rows else ""


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
    """IoU of five classes over the weakly aligned pairs of the test split, and what they lose against all pairs."""
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
