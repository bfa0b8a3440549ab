"""Borders without an image: rows and columns that are constant at the edge of every picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cimnet.curation.check.findings import Finding
from cimnet.curation.check.image_stats import Border
from cimnet.curation.check.pair_stats import PairStats

_LEAST = 2  # pixels
_NEARLY_ALL = 5  # per cent of the images that may have less
_SPREAD = 4  # pixels by which the median may be wider: a dark sky above the border of some images


def find_border(measured: Sequence[PairStats]) -> Border:
    """Pixels at the top, right, bottom and left that are constant in nearly every RGB or nearly every thermal image."""
    rgb = [stats.rgb.border for stats in measured if stats.rgb is not None and not stats.rgb.plain]
    thermal = [stats.thermal.border for stats in measured if stats.thermal is not None and not stats.thermal.constant]
    top, right, bottom, left = (max(a, b) for a, b in zip(_common(rgb), _common(thermal), strict=True))
    return top, right, bottom, left


def _common(borders: Sequence[Border]) -> Border:
    if not borders:
        return 0, 0, 0, 0
    widths = np.array(borders)
    least = np.percentile(widths, _NEARLY_ALL, axis=0, method="lower").astype(int)
    steady = np.median(widths, axis=0) - least <= np.maximum(_SPREAD, least // 4)
    top, right, bottom, left = np.where((least >= _LEAST) & steady, least, 0).tolist()
    return top, right, bottom, left


def is_shared(border: Border, shared: Border) -> bool:
    """Whether an image's constant rows and columns are nearly those of all images."""
    return all(own - common <= max(_SPREAD, common // 4) for own, common in zip(border, shared, strict=True))


def check_borders(measured: Sequence[PairStats], cut: Border) -> list[Finding]:
    """A border that all pictures share.

    Args:
        cut: what is cut off already.
    """
    found = find_border(measured)
    if not any(found):
        return []
    sides = ", ".join(
        f"{width} at the {side}" for side, width in zip(("top", "right", "bottom", "left"), found, strict=True) if width
    )
    beyond = " inside the border that is cut off already" if any(cut) else ""
    line = f"border: {[a + b for a, b in zip(cut, found, strict=True)]}"
    message = f"a border without an image{beyond}, the same in all pictures: {sides} (pixels)"
    return [Finding("warning", "border-dead", message, f"write `{line}` into classes.yaml: it is then cut off")]
