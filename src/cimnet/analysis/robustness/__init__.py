"""Loss of a model's scores when its images are corrupted: ``measure_robustness(model, dataset, out)``."""

from __future__ import annotations

from cimnet.analysis.robustness.conditions import PRESETS, Condition, parse_corruption, preset
from cimnet.analysis.robustness.measure_robustness import measure_robustness
from cimnet.analysis.robustness.robustness_report import RobustnessReport
from cimnet.analysis.robustness.robustness_scores import Curve, Facts, Point

__all__ = [
    "PRESETS",
    "Condition",
    "Curve",
    "Facts",
    "Point",
    "RobustnessReport",
    "measure_robustness",
    "parse_corruption",
    "preset",
]
