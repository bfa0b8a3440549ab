"""ROC, area, threshold and the detector, against figures worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cimnet.analysis.calibration.roc import auc, roc
from cimnet.inference.alarms.detector import Detector, fit_detector
from cimnet.inference.alarms.thresholds import threshold_for


def test_a_curve_worked_out_by_hand() -> None:
    """True 0.9, 0.4; false 0.6, 0.3, 0.1: of six comparisons five are right."""
    scores, truth = [0.4, 0.6, 0.9, 0.1, 0.3], [True, False, True, False, False]
    false, true = roc(scores, truth)
    np.testing.assert_allclose(false, [0, 0, 1 / 3, 1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(true, [0, 1 / 2, 1 / 2, 1, 1, 1])
    assert auc(scores, truth) == pytest.approx(5 / 6)


def test_ties_count_half() -> None:
    """True 0.5, 0.5; false 0.5, 0.2: 2 right and 2 ties of 4."""
    false, true = roc([0.5, 0.5, 0.5, 0.2], [True, False, True, False])
    np.testing.assert_allclose(false, [0, 0.5, 1])
    np.testing.assert_allclose(true, [0, 1, 1])
    assert auc([0.5, 0.5, 0.5, 0.2], [True, False, True, False]) == pytest.approx(0.75)
    assert auc([1, 1, 1], [True, False, False]) == pytest.approx(0.5)


def test_one_kind_alone_has_no_area() -> None:
    assert math.isnan(auc([0.1, 0.2], [True, True]))
    assert math.isnan(auc([], []))


def test_the_threshold_lets_no_more_than_its_share_pass() -> None:
    scores = [k / 100 for k in range(40)]
    assert threshold_for(scores, 0.05) == 0.37  # 0.38 and 0.39 are above: 2 of 40
    assert threshold_for(scores[:19], 0.05) == 0.18  # one of 19 would be too many
    with pytest.raises(ValueError, match="no scores"):
        threshold_for([], 0.05)


def test_cases_that_can_be_told_apart() -> None:
    rows = [{"x": float(k), "noise": float(k % 3)} for k in range(40)]
    truth = [k >= 20 for k in range(40)]
    detector = fit_detector(rows, truth, ("x", "noise"))
    scores = [detector.probability(row) for row in rows]
    assert auc(scores, truth) == 1
    assert scores[-1] > 0.8
    assert scores[10] < 0.2
    parts = detector.parts(rows[-1])
    assert parts["x"] > abs(parts["noise"])


def test_both_sides_of_what_is_usual_can_raise_an_alarm() -> None:
    rows = [{"x": x} for x in [-9.0, -8, 8, 9, -1, -0.5, 0, 0.5, 1]]
    truth = [True] * 4 + [False] * 5
    detector = fit_detector(rows, truth, ("x",))
    assert auc([detector.probability(row) for row in rows], truth) == 1


def test_frequency_does_not_matter() -> None:
    """Twenty times as many sound cases, the same probabilities."""
    rows, truth = [{"x": 0.0}, {"x": 1.0}, {"x": 2.0}, {"x": 3.0}], [False, False, True, True]
    once = fit_detector(rows, truth, ("x",))
    often = fit_detector(rows[:2] * 20 + rows[2:], truth[:2] * 20 + truth[2:], ("x",))
    assert often.probability({"x": 2.5}) == pytest.approx(once.probability({"x": 2.5}), abs=1e-4)


def test_the_probability_by_hand() -> None:
    detector = Detector(("x",), (1.0,), (2.0,), (3.0,), (-1.0,), 0.5)
    assert detector.probability({"x": 5.0}) == pytest.approx(1 / (1 + math.exp(-0.5 - 3 * math.log(3))))
    assert detector.probability({"x": -1.0}) == pytest.approx(1 / (1 + math.exp(-0.5 + math.log(2))))
    assert Detector.from_dict(detector.to_dict()) == detector


def test_what_cannot_be_fitted_or_read() -> None:
    with pytest.raises(ValueError, match="cases that do not"):
        fit_detector([{"x": 1.0}], [True], ("x",))
    content = Detector(("x",), (1.0,), (2.0,), (3.0,), (-1.0,), 0.5).to_dict()
    with pytest.raises(ValueError, match="for each name"):
        Detector.from_dict({**content, "above": []})
