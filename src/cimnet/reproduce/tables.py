"""Tables II to VI as Markdown: the paper's figures in columns or rows marked "paper", measured ones beside them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from cimnet.errors import DataError
from cimnet.reproduce.paper import (
    KUST4K,
    MFNET,
    NOTES,
    TABLE2,
    TABLE3,
    TABLE4,
    TABLE4_CLASSES,
    TABLE5,
    TABLE5_GROUPS,
    TABLE6,
    Printed,
)
from cimnet.reproduce.runs import Scores

Cost = tuple[float, float]  # millions of parameters, G MACs of a pair


def table2(scores: Sequence[Scores], cost: Cost) -> str:
    """Kust4K test: IoU by class and mIoU. ``cost`` is counted at 480×640."""
    return _by_class("table2", KUST4K, TABLE2, scores, cost)


def table6(scores: Sequence[Scores], cost: Cost) -> str:
    """MFNet test: IoU by class and mIoU."""
    return _by_class("table6", MFNET, TABLE6, scores, cost)


def _by_class(
    name: str, classes: Sequence[str], printed: Sequence[Printed], scores: Sequence[Scores], cost: Cost
) -> str:
    _require_classes(name, classes, scores)
    head = ["method", "M", "G", *(c.replace("_", " ") for c in classes), "mIoU"]
    rows = [
        [f"{row.method} ({row.backbone}), paper", _plain(row.parameters), _plain(row.operations)]
        + [f"{value:.1f}" for value in (*row.iou, row.miou)]
        for row in printed
    ]
    found = [spread([s["iou"][c] for s in scores]) for c in classes]
    rows.append([f"**here**, {_seeds(scores)}", *map(_plain, cost), *found, spread([s["miou"] for s in scores])])
    return _markdown(head, rows) + "\n" + _subsets(scores) + _notes(name, scores)


def _subsets(scores: Sequence[Scores]) -> str:
    """mIoU by scene and flag, for groups that all runs have."""
    groups = [name for name in scores[0]["groups"] if all(name in s["groups"] for s in scores)]
    found = {name: [s["groups"][name] for s in scores] for name in groups}
    rows = [
        [name.replace("_", " "), str(group[0]["images"]), spread([g["miou"] for g in group])]
        for name, group in found.items()
    ]
    return _markdown(["subset, here", "pairs", "mIoU"], rows) if rows else ""


def table3(scores: dict[int, list[Scores]]) -> str:
    """The ablation. ``scores`` by row number; rows that are missing or unfinished are shown as far as they are.

    Gains over row 1 are means of differences between runs of the same seed.
    """
    head = ["No.", "MIR", "MSM", "SWR", "CWR", "paper", "paper, gain", "here", "here, gain", "seeds"]
    base = scores.get(1, [])
    rows = []
    for row in TABLE3:
        found = scores.get(row.number, [])
        gains = [s["miou"] - b["miou"] for s, b in zip(found, base, strict=False)] if row.number > 1 else []
        marks = ["✓" if on else "" for on in (row.mir, row.msm, row.swr, row.cwr)]
        printed_gain = f"{row.miou - TABLE3[0].miou:+.1f}" if row.number > 1 else ""
        here = spread([s["miou"] for s in found]), spread(gains, "+") if gains else "", str(len(found))
        rows.append([f"{row.number}{'*' if row.inferred else ''}", *marks, f"{row.miou:.1f}", printed_gain, *here])
    every = [s for found in scores.values() for s in found]
    return _markdown(head, rows) + _notes("table3", every)


def table4(scores: Sequence[Scores]) -> str:
    """IoU of five classes over the weakly aligned pairs of the test split, and what they lose against all pairs."""
    _require_classes("table4", TABLE4_CLASSES, scores)
    groups = _groups("table4", ("weakly_aligned",), scores)
    head = ["method", "pairs", *TABLE4_CLASSES]
    rows = [[f"{name}, paper", "290", *(f"{value:.1f}" for value in values)] for name, values in TABLE4.items()]
    whole = dict(zip(KUST4K, TABLE2[-1].iou, strict=True))
    falls = (f"{value - whole[c]:+.1f}" for c, value in zip(TABLE4_CLASSES, TABLE4["CIMNet"], strict=True))
    rows.append(["CIMNet, paper, against all test pairs", "", *falls])
    weak = [group["weakly_aligned"] for group in groups]
    count = str(weak[0]["images"])
    rows.append([f"**here**, {_seeds(scores)}", count, *(spread([w["iou"][c] for w in weak]) for c in TABLE4_CLASSES)])
    lost = (
        spread([_minus(w["iou"][c], s["iou"][c]) for w, s in zip(weak, scores, strict=True)], "+")
        for c in TABLE4_CLASSES
    )
    rows.append(["here, against all test pairs", "", *lost])
    return _markdown(head, rows) + _notes("table4", scores)


def table5(scores: Sequence[Scores]) -> str:
    """mIoU over the test pairs with a broken sensor."""
    groups = _groups("table5", TABLE5_GROUPS, scores)
    rows = [[f"{name}, paper", *(f"{value:.1f}" for value in values)] for name, values in TABLE5.items()]
    rows.append([f"**here**, {_seeds(scores)}", *(spread([g[n]["miou"] for g in groups]) for n in TABLE5_GROUPS)])
    rows.append(["pairs here", *(str(groups[0][name]["images"]) for name in TABLE5_GROUPS)])
    return _markdown(["method", "RGB failure", "thermal failure"], rows) + _notes("table5", scores)


def spread(values: Sequence[float | None], sign: str = "") -> str:
    """Mean ± sample standard deviation of shares 0..1, in per cent; a dash for none."""
    known = [100 * value for value in values if value is not None]
    if not known:
        return "–"
    deviation = f" ± {statistics.stdev(known):.1f}" if len(known) > 1 else ""
    return f"{statistics.mean(known):{sign}.1f}{deviation}"


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _plain(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.1f}"


def _seeds(scores: Sequence[Scores]) -> str:
    return "one run" if len(scores) == 1 else f"mean ± standard deviation of {len(scores)} runs"


def _require_classes(name: str, classes: Sequence[str], scores: Sequence[Scores]) -> None:
    missing = [c for s in scores for c in classes if c not in s["iou"]]
    if missing:
        raise DataError(
            f"{name}: the data set has no class '{missing[0]}'; its classes must include {', '.join(classes)}"
        )


def _groups(name: str, wanted: Sequence[str], scores: Sequence[Scores]) -> list[dict[str, Scores]]:
    lists = {"weakly_aligned": "weakly_aligned.txt", "rgb_broken": "broke_RGB.txt", "thermal_broken": "broke_TIR.txt"}
    for group in wanted:
        if any(group not in s["groups"] for s in scores):
            raise DataError(f"{name}: no test pair has the flag '{group}'; name such pairs in {lists[group]}")
    return [s["groups"] for s in scores]


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _notes(name: str, scores: Sequence[Scores]) -> str:
    convention = "left out of means" if all(s["absent"] == "ignore" for s in scores) else "counted as 0"
    notes = (
        f"Per cent. Classes absent from truth and prediction are {convention}.",
        "Rows and columns marked paper are the paper's figures, not measured here.",
        *NOTES[name],
    )
    return "\n" + "".join(f"- {note}\n" for note in notes)
