"""Displacement of RGB and thermal over a sample of the pairs. The estimator is passed in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cimnet.curation.check.findings import Finding, Item
from cimnet.curation.check.pair_stats import PairStats
from cimnet.utils.numbers import pluralize

_FAR = 3.0  # pixels
_FEW = 3  # known offsets
_COMMON = 0.5  # of the median length: what a median of dx and dy has at least if most pairs are displaced alike


def summarise(measured: Sequence[PairStats]) -> dict[str, Any] | None:
    """Offsets in pixels over the pairs that were measured, for JSON; None if none was."""
    measured = [stats for stats in measured if stats.measured]
    known = np.array([stats.offset for stats in measured if stats.offset is not None]).reshape(-1, 2)
    if not measured:
        return None
    summary: dict[str, Any] = {"pairs": len(measured), "unknown": 1 - len(known) / len(measured)}
    if len(known):
        lengths = np.hypot(known[:, 0], known[:, 1])
        summary |= {
            "median": float(np.median(lengths)),
            "p90": float(np.percentile(lengths, 90)),
            "median_dx": float(np.median(known[:, 0])),
            "median_dy": float(np.median(known[:, 1])),
        }
    return summary


def check_offsets(root: Path, measured: Sequence[PairStats]) -> list[Finding]:
    """Report RGB and thermal images of the data set ``root`` that are too far out of line."""
    summary = summarise(measured)
    if summary is None:
        return []
    known = [(stats.name, stats.offset) for stats in measured if stats.offset is not None]
    if len(known) < _FEW:
        asked = pluralize(summary["pairs"], "pair")
        if not known:
            message = f"the offset of RGB and thermal is unknown: measured in 0 of {asked}"
            return [Finding("note", "offset-unknown", message, "look at some pairs (`cimnet data align`)")]
        complete = len(known) == summary["pairs"]
        some = asked if complete else f"{len(known)} of {asked}"
        message = f"the offset of RGB and thermal was measured in only {some}, too few to judge"
        remedy = "raise --offsets, or add pairs" if complete else "look at some pairs (`cimnet data align`)"
        return [Finding("note", "offset-few", message, remedy)]
    if summary["median"] <= _FAR:
        return []
    far = sorted(known, key=lambda entry: -float(np.hypot(*entry[1])))
    items = tuple(Item(name, f"dx {dx:+.1f}, dy {dy:+.1f} pixels") for name, (dx, dy) in far)
    message = (
        f"RGB and thermal lie {summary['median']:.1f} pixels apart (median of {pluralize(len(known), 'pair')}; "
        f"90th percentile {summary['p90']:.1f}; median dx {summary['median_dx']:+.1f}, dy {summary['median_dy']:+.1f})"
    )
    return [Finding("warning", "misaligned", message, _remedy(root, summary), items)]


def _remedy(root: Path, summary: dict[str, Any]) -> str:
    """Say what to do about offsets. If they differ from pair to pair, the matrix that `data align` takes for all of
    them leaves them as they are."""
    registered = (root / "alignment.json").is_file()
    if np.hypot(summary["median_dx"], summary["median_dy"]) < _COMMON * summary["median"]:
        advice = (
            "one matrix for all pairs does not correct what differs from pair to pair: `cimnet data align --per-pair`"
        )
    elif registered:
        advice = "register the original anew with matched `--points`, or with `--per-pair`"
    else:
        return "register them with `cimnet data align`"
    if not registered:
        return advice
    return (
        f"registered already (alignment.json); {advice}; where thermal images were enlarged, this estimate is uncertain"
    )
