"""How well the alarms of a calibrated checkpoint tell broken and misaligned pairs from others.

    cimnet calibrate runs/scenes data/scenes --out runs/scenes/calibrated.safetensors
    python benchmarks/alarm_roc.py runs/scenes/calibrated.safetensors --data data/scenes --figure alarm_roc.png

Rows: all kinds of defects that the alarm was fitted on; the pairs that the data set's own lists name; and each kind of
defect by itself. A row's false cases are the test pairs without any fault; the row "lists" counts no seeded defect.
--hold-out fits the alarms again without the named defects, and marks their rows.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import cimnet
from cimnet.analysis.calibration.defects import DEFECTS, alarm_of
from cimnet.analysis.calibration.fit import measure_cases
from cimnet.analysis.calibration.reliability_figures import plot_roc
from cimnet.analysis.calibration.roc import Array, auc, roc
from cimnet.data.corruptions import DROPPED
from cimnet.errors import CimnetError
from cimnet.inference.alarms.alarm import AlarmModel, MeasuredCase, fit_alarm
from cimnet.inference.alarms.thresholds import ALARMS
from cimnet.utils.figures import save_figure

Curve = tuple[Array, Array, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--fit-split", default="val", help="for --hold-out")
    parser.add_argument("--hold-out", nargs="+", default=[], metavar="DEFECT", choices=DEFECTS)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    predictor = cimnet.load(options.checkpoint)
    if options.hold_out:
        fit = predictor.open_dataset(options.data, options.fit_split)
        used = [name for name in DEFECTS if name not in options.hold_out]
        measured = measure_cases(predictor.model, fit, device=predictor.device, seed=0, defects=used)
        alarm = fit_alarm(measured)
    elif predictor.info.alarm is None:
        raise CimnetError(f"{options.checkpoint}: has no alarm; run `cimnet calibrate` first, or give --hold-out")
    else:
        alarm = AlarmModel.from_dict(predictor.info.alarm)
    test = predictor.open_dataset(options.data, options.split)
    everything = (*DEFECTS, *DROPPED)
    cases = measure_cases(predictor.model, test, device=predictor.device, seed=1, defects=everything)
    print(f"{len({case.pair for case in cases})} pairs, {sum(case.sound for case in cases)} of them sound\n")
    print("| alarm | faults | cases | AUC | found, % | false alarms, % |\n|---|---|---:|---:|---:|---:|")
    curves: dict[str, Curve] = {}
    for name in ALARMS:
        curves |= report(alarm, cases, name, options.hold_out)
    if options.figure is not None:
        save_figure(plot_roc(curves), options.figure)


def report(alarm: AlarmModel, cases: Sequence[MeasuredCase], name: str, held_out: Sequence[str]) -> dict[str, Curve]:
    """Print the rows of one alarm; the curves of the first two."""
    sound = [case for case in cases if case.sound]
    raising = [case for case in cases if case.truth.get(name)]
    seeded = [case for case in raising if case.defect and alarm_of(case.defect) == name]
    fitted = [case for case in seeded if case.defect not in (*held_out, *DROPPED)]
    listed = [case for case in raising if not case.defect]
    curves = {
        f"{name}, defects": _row(alarm, name, "seeded defects of the fit", fitted, sound),
        f"{name}, lists": _row(alarm, name, "the data set's lists", listed, sound),
    }
    for kind in sorted({case.defect for case in seeded}):
        mark = " (not in the fit)" if kind in held_out or kind in DROPPED else ""
        _row(alarm, name, f"{kind}{mark}", [case for case in seeded if case.defect == kind], sound)
    return curves


def _row(
    alarm: AlarmModel, name: str, title: str, true: Sequence[MeasuredCase], sound: Sequence[MeasuredCase]
) -> Curve:
    detector = alarm.detectors[name]
    scores = [detector.probability(case.numbers) for case in (*true, *sound)]
    truth = [True] * len(true) + [False] * len(sound)
    area = auc(scores, truth)
    raised = np.array(scores) > detector.threshold
    found, false = (100 * part.mean() if part.size else np.nan for part in (raised[: len(true)], raised[len(true) :]))
    print(f"| {name} | {title} | {len(true)} | {area:.3f} | {found:.0f} | {false:.0f} |", flush=True)
    return (*roc(scores, truth), area)


if __name__ == "__main__":
    main()
