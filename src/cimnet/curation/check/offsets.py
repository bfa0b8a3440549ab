"""How far RGB and thermal lie apart, by an estimate from elsewhere, over a sample of the pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cimnet.curation.check.findings import Finding, Item
from cimnet.curation.check.looks import Look

_FAR = 3.0  # pixels
_FEW = 3  # known offsets


def summarise(looks: Sequence[Look]) -> dict[str, Any] | None:
    """Offsets in pixels over the pairs that were measured, for JSON; None if none was."""
    measured = [look for look in looks if look.measured]
    known = np.array([look.offset for look in measured if look.offset is not None]).reshape(-1, 2)
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


def check_offsets(looks: Sequence[Look]) -> list[Finding]:
    """Whether RGB and thermal lie too far apart."""
    summary = summarise(looks)
    if summary is None:
        return []
    known = [(look.name, look.offset) for look in looks if look.offset is not None]
    if len(known) < _FEW:
        message = f"the offset of RGB and thermal is unknown: measured in {len(known)} of {summary['pairs']} pairs"
        return [Finding("note", "offset-unknown", message, "look at some pairs (`cimnet data align`)")]
    if summary["median"] <= _FAR:
        return []
    far = sorted(known, key=lambda entry: -float(np.hypot(*entry[1])))
    items = tuple(Item(name, f"dx {dx:+.1f}, dy {dy:+.1f} pixels") for name, (dx, dy) in far)
    message = (
        f"RGB and thermal lie {summary['median']:.1f} pixels apart (median of {len(known)} pairs; 90th percentile "
        f"{summary['p90']:.1f}; median dx {summary['median_dx']:+.1f}, dy {summary['median_dy']:+.1f})"
    )
    return [Finding("warning", "misaligned", message, "register them with `cimnet data align`", items)]
