"""Figures of a calibration."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cimnet.analysis.calibration.reliability import BINS, Reliability
from cimnet.analysis.calibration.roc import Array

COLORS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#000000")
"""Okabe and Ito's: colour-blind readers can distinguish them."""


def plot_reliability(curves: Mapping[str, Reliability]) -> Figure:
    """Accuracy over confidence, one diagram per entry, side by side. Bars are bins; the line is perfect calibration.
    The share of pixels in each bin is drawn below."""
    figure = Figure(figsize=(4.2 * len(curves), 5), layout="constrained")
    grid = figure.subplots(2, len(curves), squeeze=False, sharex=True, height_ratios=(4, 1))
    for (title, curve), upper, lower in zip(curves.items(), grid[0], grid[1], strict=True):
        _bars(upper, lower, curve)
        upper.set_title(f"{title}: ECE {100 * curve.ece:.1f} %, NLL {curve.nll:.3f}")
    grid[0][0].set_ylabel("accuracy")
    grid[1][0].set_ylabel("% of pixels")
    return figure


def _bars(upper: Axes, lower: Axes, curve: Reliability) -> None:
    left, width = np.arange(BINS) / BINS, 1 / BINS
    pixels = np.maximum(curve.pixels, 1)
    upper.bar(left, curve.correct / pixels, width, align="edge", color=COLORS[0], edgecolor="white")
    upper.plot([0, 1], [0, 1], color="black", linewidth=1)
    upper.plot(
        (curve.confidence / pixels)[curve.pixels > 0], (curve.correct / pixels)[curve.pixels > 0], "o", color=COLORS[3]
    )
    upper.set_ylim(0, 1)
    lower.bar(left, 100 * curve.pixels / max(curve.pixels.sum(), 1), width, align="edge", color="grey")
    lower.set_xlim(0, 1)
    lower.set_xlabel("top probability")


def plot_roc(curves: Mapping[str, tuple[Array, Array, float]]) -> Figure:
    """True over false alarms; each entry gives their shares and the area."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.set_prop_cycle(color=COLORS)
    for name, (false, true, area) in curves.items():
        if np.isfinite(area):
            axes.plot(false, true, label=f"{name}, AUC {area:.3f}")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle=":")
    axes.set_xlabel("share of false alarms")
    axes.set_ylabel("share of true alarms")
    axes.legend(loc="lower right", fontsize=8)
    return figure
