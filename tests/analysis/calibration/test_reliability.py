"""Calibration error, temperature: against figures worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from cimnet.analysis.calibration.fit import Calibration
from cimnet.analysis.calibration.reliability import Reliability, fit_temperature
from cimnet.analysis.calibration.reliability_figures import COLORS, plot_reliability, plot_roc
from cimnet.errors import DataError


def _logits(*tops: float) -> Tensor:
    """Two classes, (2, N); class 0 has the given probability."""
    p = torch.tensor(tops, dtype=torch.float64)
    return torch.stack([p.log(), (1 - p).log()])


def test_a_case_worked_out_by_hand() -> None:
    """0.9, 0.9, 0.9, 0.9 with three right; 0.62, 0.62 with none right: |3.6 − 3| + |1.24 − 0| over 6."""
    curve = Reliability()
    curve.add(_logits(0.9, 0.9, 0.9, 0.9, 0.62, 0.62), torch.tensor([0, 0, 0, 1, 1, 1]))
    assert curve.ece == pytest.approx((0.6 + 1.24) / 6)
    assert curve.accuracy == pytest.approx(0.5)
    assert curve.nll == pytest.approx(-(3 * math.log(0.9) + math.log(0.1) + 2 * math.log(0.38)) / 6)
    assert curve.pixels.tolist() == [0] * 9 + [2, 0, 0, 0, 4, 0]
    assert curve.to_dict()["bins"][13] == {"pixels": 4, "confidence": pytest.approx(0.9), "accuracy": 0.75}
    assert curve.to_dict()["bins"][0] == {"pixels": 0, "confidence": None, "accuracy": None}


def test_errors_within_a_bin_cancel_and_those_of_two_bins_do_not() -> None:
    curve = Reliability()
    curve.add(_logits(0.61, 0.65), torch.tensor([0, 1]))  # both in (0.6, 0.667]
    assert curve.ece == pytest.approx(abs(1.26 - 1) / 2)
    curve = Reliability()
    curve.add(_logits(0.61, 0.69), torch.tensor([0, 1]))
    assert curve.ece == pytest.approx((0.39 + 0.69) / 2)


def test_ignored_pixels_do_not_count() -> None:
    some, all_ = Reliability(), Reliability()
    some.add(_logits(0.9, 0.7), torch.tensor([0, 1]))
    all_.add(_logits(0.9, 0.99, 0.7).reshape(2, 1, 3), torch.tensor([[0, 255, 1]]))
    assert all_.to_dict() == some.to_dict()
    nothing = Reliability()
    nothing.add(_logits(0.9), torch.tensor([255]))
    assert math.isnan(nothing.ece)


def _honest(pixels: int = 40_000, classes: int = 4) -> tuple[Tensor, Tensor]:
    """Logits (N, K) and ids drawn from their own probabilities."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(pixels, classes, generator=generator, dtype=torch.float64)
    return logits, torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]


@pytest.mark.parametrize("factor", [0.3, 1.0, 2.5])
def test_the_temperature_undoes_a_scaling(factor: float) -> None:
    logits, ids = _honest()
    fitted = fit_temperature(factor * logits, ids)
    assert fitted == pytest.approx(factor * fit_temperature(logits, ids), rel=1e-3)
    assert fitted == pytest.approx(factor, rel=0.02)


@pytest.mark.parametrize("factor", [0.1, 1.0, 8.0])
def test_no_temperature_of_a_fine_grid_is_better(factor: float) -> None:
    logits, ids = _honest(2000)

    def loss(temperature: float) -> float:
        return float(torch.nn.functional.cross_entropy(factor * logits / temperature, ids))

    fitted = fit_temperature(factor * logits, ids)
    grid = np.geomspace(0.02, 50, 4001)
    best = float(grid[np.argmin([loss(value) for value in grid])])
    assert fitted == pytest.approx(best, rel=2e-3)
    assert loss(fitted) <= loss(best) + 1e-9


def test_a_temperature_out_of_reach_is_that_of_the_bound() -> None:
    """All wrong, and sure of it: the higher the better."""
    logits = 5 * torch.nn.functional.one_hot(torch.arange(300) % 3).double()
    assert fit_temperature(logits, (torch.arange(300) + 1) % 3) == pytest.approx(50, rel=1e-3)


def test_the_temperature_lowers_the_error_and_changes_no_class() -> None:
    logits, ids = _honest()
    temperature = fit_temperature(3 * logits, ids)
    before, after = Reliability(), Reliability()
    before.add(3 * logits.T, ids)
    after.add(3 * logits.T, ids, temperature)
    assert before.ece > 0.1
    assert after.ece < 0.01
    assert after.nll < before.nll
    assert after.accuracy == before.accuracy
    assert len(plot_reliability({"before": before, "after": after}).axes) == 4


def test_no_pixels() -> None:
    with pytest.raises(DataError, match="no labelled pixel"):
        fit_temperature(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))


def test_counts_add_up_over_images() -> None:
    logits, ids = _honest(200)
    whole, parts = Reliability(), Reliability()
    whole.add(logits.T, ids)
    for part in range(4):
        parts.add(logits[part::4].T, ids[part::4])
    np.testing.assert_array_equal(whole.pixels, parts.pixels)
    assert whole.ece == pytest.approx(parts.ece)


@pytest.mark.parametrize(
    ("temperature", "false", "doubts"),
    [
        (1.2, 0.1, []),
        (49.998, 0.1, ["temperature"]),
        (0.02, 1.0, ["rgb_broken"]),
        (50.0, 1.0, ["temperature", "rgb_broken"]),
    ],
)
def test_a_calibration_that_is_of_no_use_says_so(temperature: float, false: float, doubts: list[str]) -> None:
    rates = {"rgb_broken": false, "thermal_broken": 0.0, "misaligned": 0.05}
    said = Calibration(temperature, None, Reliability(), Reliability(), {}, rates).doubts()
    assert [word in sentence for word, sentence in zip(doubts, said, strict=True)] == [True] * len(doubts)


def test_a_temperature_that_makes_the_other_split_worse_says_so() -> None:
    better, worse = Reliability(), Reliability()
    better.add(_logits(0.9), torch.tensor([0]))
    worse.add(_logits(0.6), torch.tensor([0]))
    rates = {"rgb_broken": 0.0, "thermal_broken": 0.0, "misaligned": 0.0}
    (said,) = Calibration(1.2, None, better, worse, {}, rates).doubts()
    assert "makes the NLL of the other split worse (0.1054 to 0.5108)" in said
    assert Calibration(1.2, None, worse, better, {}, rates).doubts() == []


def test_curves_have_colours_that_colour_blind_readers_distinguish() -> None:
    ends = np.array([0.0, 1.0])
    lines = plot_roc(dict.fromkeys("abcdef", (ends, ends, 0.5))).axes[0].get_lines()
    assert [line.get_color() for line in lines[:6]] == list(COLORS)
