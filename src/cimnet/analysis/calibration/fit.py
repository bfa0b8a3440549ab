"""Fit temperature and alarms on one split, judge them on another, store them in the checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import torch

from cimnet.analysis.calibration.defects import DEFECTS, MOST_PAIRS, cases
from cimnet.analysis.calibration.gate import GateScores, fit_gate, judge_gate
from cimnet.analysis.calibration.pair_source import Pairs
from cimnet.analysis.calibration.reliability import (
    TEMPERATURES,
    Reliability,
    fit_temperature,
    predictions,
    sample_pixels,
)
from cimnet.analysis.calibration.reliability_figures import plot_reliability, plot_roc
from cimnet.analysis.calibration.roc import Array, auc, roc
from cimnet.checkpoint import ModelInfo, save_checkpoint
from cimnet.inference.alarms.alarm import AlarmModel, MeasuredCase, fit_alarm
from cimnet.inference.alarms.model_features import measure
from cimnet.inference.alarms.thresholds import ALARMS
from cimnet.models import RGBTModel
from cimnet.models.cimnetx import CIMNetX
from cimnet.utils.figures import save_figure
from cimnet.utils.files import write_text
from cimnet.utils.numbers import json_number
from cimnet.utils.tables import markdown_table

REPORT = ("calibration.json", "reliability.png", "roc.png")
_TEST_SEED = 1  # defects of the test split are others than those of the fit


@dataclass(frozen=True)
class Calibration:
    """The fitted temperature and alarms, and their scores on the other split.

    Attributes:
        temperature: logits are divided by it.
        alarm: the three alarms.
        before, after: reliability without and with the temperature.
        curves: by alarm, shares of false and true alarms, and the area below.
        false_alarms: by alarm, share of the sound pairs of the other split that raise it; NaN without such pairs.
        defects: the corruptions that were fitted on.
        gate: what a CIMNetX's gate brings on the other split; None without a gate.
    """

    temperature: float
    alarm: AlarmModel
    before: Reliability
    after: Reliability
    curves: dict[str, tuple[Array, Array, float]]
    false_alarms: dict[str, float]
    defects: tuple[str, ...] = DEFECTS
    gate: GateScores | None = None

    def added_to(self, info: ModelInfo) -> ModelInfo:
        """The description of the model with the fitted temperature and alarms; without its scores, if a gate was
        fitted, since these were of other masks."""
        metrics = info.metrics if self.gate is None else {}
        return replace(info, temperature=self.temperature, alarm=self.alarm.to_dict(), metrics=metrics)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON; None where nothing could be judged."""
        alarms = {
            name: {
                "auc": json_number(self.curves[name][2]),
                "threshold": self.alarm.detectors[name].threshold,
                "false_alarms": json_number(self.false_alarms[name]),
            }
            for name in ALARMS
        }
        scores = {"before": self.before.to_dict(), "after": self.after.to_dict()}
        gate = {} if self.gate is None else {"gate": self.gate._asdict()}
        return {"temperature": self.temperature, **scores, "alarms": alarms, "defects": list(self.defects), **gate}

    def to_markdown(self) -> str:
        """Temperature and alarms, and what a gate brings."""
        fitted = [
            (name, f"{100 * curve.ece:.2f}", f"{curve.nll:.4f}")
            for name, curve in (("before", self.before), ("after", self.after))
        ]
        alarms = []
        for name in ALARMS:
            area, false = self.curves[name][2], 100 * self.false_alarms[name]
            threshold = self.alarm.detectors[name].threshold
            alarms.append((name, f"{area:.3f}", f"{threshold:.3f}", f"{false:.1f}"))
        tables = (
            markdown_table(["", "ECE, %", "NLL"], fitted),
            markdown_table(["alarm", "AUC", "threshold", "false alarms, % of sound pairs"], alarms),
        )
        gate = [] if self.gate is None else [f"Gate: {self.gate.sentence()}\n"]
        return "\n".join([*gate, f"Temperature {self.temperature:.3f}\n", *tables])

    def doubts(self) -> list[str]:
        """Reasons not to rely on this, as sentences; none if nothing is odd."""
        found = []
        if self.temperature > 0.99 * TEMPERATURES[1]:
            found.append("the temperature is at the end of its range: the model's masks are hardly better than chance")
        before, after = (round(curve.nll, 4) for curve in (self.before, self.after))
        if after > before:
            found.append(
                f"the temperature makes the NLL of the other split worse ({before:.4f} to {after:.4f}): the splits "
                "differ, or the model was trained on the one of the fit"
            )
        if self.gate is not None and self.gate.with_gate < self.gate.pair:
            found.append("masks are better without the gate; give more pairs to fit on, or reliability: false")
        false = [name for name in ALARMS if self.false_alarms[name] > 0.5]
        if false:
            found.append(f"{', '.join(false)}: more than half of the sound pairs raise the alarm, so it is useless")
        return found


def calibrate(
    model: RGBTModel,
    fit: Pairs,
    test: Pairs,
    *,
    device: torch.device,
    seed: int = 0,
    defects: Collection[str] = DEFECTS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Calibration:
    """Fit on one split, judge on the other; the model is in evaluation mode and stays as it is, except for the gate of
    a CIMNetX, which is fitted first.

    Args:
        defects: corruptions to fit on; what is judged has all of them.
        progress: called with how many of how many pairs are read; each one is read for the temperature, and up to
            `MOST_PAIRS` of a split for the alarms, and again for a gate.

    Raises:
        DataError: labels are missing, or the split is too small.
    """
    gated = model if isinstance(model, CIMNetX) and model.reliability is not None else None
    drawn = [min(len(pairs), MOST_PAIRS) for pairs in (fit, test)]
    total = len(fit) + len(test) + sum(drawn) * (1 if gated is None else 2)
    steps = count(1)

    def advance() -> None:
        progress(next(steps), total)

    gate = None
    if gated is not None:
        fitted = fit_gate(gated, fit, device=device, seed=seed, defects=defects, advance=advance)
        gate = judge_gate(fitted, gated, test, device=device, seed=seed + _TEST_SEED, advance=advance)
        gated.reliability = fitted.to(device)
    temperature = fit_temperature(*sample_pixels(model, fit, device, seed, advance))
    alarm = fit_alarm(measure_cases(model, fit, device=device, seed=seed, defects=defects, advance=advance))
    before, after = Reliability(), Reliability()
    for logits, label in predictions(model, test, device):
        before.add(logits, label)
        after.add(logits, label, temperature)
        advance()
    measured = measure_cases(model, test, device=device, seed=seed + _TEST_SEED, advance=advance)
    curves, false_alarms = {}, {}
    for name in ALARMS:
        curves[name] = curve_of(alarm, measured, name)
        raised = [name in alarm(case.numbers).raised for case in measured if case.sound]
        false_alarms[name] = sum(raised) / len(raised) if raised else float("nan")
    return Calibration(temperature, alarm, before, after, curves, false_alarms, tuple(defects), gate)


def measure_cases(
    model: RGBTModel,
    pairs: Pairs,
    *,
    device: torch.device,
    seed: int,
    defects: Collection[str] = DEFECTS,
    advance: Callable[[], None] = lambda: None,
) -> list[MeasuredCase]:
    """Features of pairs as they are and with defects, see `cimnet.analysis.calibration.defects.cases`; `advance` is
    called for each pair."""
    measured = []
    for c in cases(pairs, seed, defects):
        numbers = measure(model, c.sample.rgb, c.sample.thermal, device)
        measured.append(MeasuredCase(numbers, c.truth, c.pair, c.defect, c.sound))
        if not c.defect:
            advance()
    return measured


def curve_of(alarm: AlarmModel, measured: Collection[MeasuredCase], name: str) -> tuple[Array, Array, float]:
    """False and true alarms and the area below, over the cases for which it is known whether the alarm is right."""
    known = [case for case in measured if name in case.truth]
    scores = [alarm.detectors[name].probability(case.numbers) for case in known]
    truth = [case.truth[name] for case in known]
    return (*roc(scores, truth), auc(scores, truth))


def store(path: Path, model: RGBTModel, info: ModelInfo, calibration: Calibration) -> None:
    """Write the checkpoint with the fitted temperature and alarms, atomically; no weights change but a gate's.

    Raises:
        CimnetError: the file cannot be written.
    """
    save_checkpoint(path, model, calibration.added_to(info))


def write_report(folder: Path, calibration: Calibration) -> None:
    """Write the files of `REPORT` into a folder: scores, reliability diagram and ROC curves.

    Raises:
        CimnetError: the folder cannot be written.
    """
    scores, reliability, curves = (folder / name for name in REPORT)
    write_text(scores, json.dumps(calibration.to_dict(), indent=2, allow_nan=False) + "\n")
    save_figure(plot_reliability({"before": calibration.before, "after": calibration.after}), reliability)
    save_figure(plot_roc(calibration.curves), curves)
