"""Curves over severity."""

from __future__ import annotations

import matplotlib
from matplotlib.figure import Figure

from cimnet.analysis.robustness.conditions import amount_in_words
from cimnet.analysis.robustness.robustness_scores import Curve, Point

LINES = {
    "miou": ("all classes", "", "o", 2.2),
    "moving": ("moving classes", "#d55e00", "^", 1.3),
    "static": ("static classes", "#009e73", "s", 1.3),
}
"""Attribute of a point: name, colour (nothing: the theme's), marker, width."""


def draw_curve(curve: Curve, clean: Point, top: float) -> Figure:
    """mIoU in per cent over the levels of a corruption, from clean at the left. `top`: end of the scale, 0..1."""
    figure = Figure(figsize=(3.4, 2.3), layout="constrained")
    axes = figure.add_subplot()
    points = (clean, *curve.points)
    for key, (_, color, marker, width) in LINES.items():
        values = [100 * getattr(point, key) for point in points]
        ink = color or matplotlib.rcParams["lines.color"]
        axes.plot(range(len(points)), values, color=ink, marker=marker, markersize=4, linewidth=width)
        axes.axhline(values[0], color=ink, linewidth=0.8, linestyle=":", zorder=1)
    axes.set_xticks(range(len(points)), ["clean", *(f"{p.condition.amount:g}" for p in curve.points)])
    axes.set_xlabel(amount_in_words(curve.name, 0).removeprefix("0").strip())
    axes.set_ylim(0, max(1.0, 104 * top))
    axes.grid(alpha=0.3)
    return figure
