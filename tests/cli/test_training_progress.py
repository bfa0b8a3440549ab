"""The bar of a training run: there from the first step on, not before."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from cimnet.cli import shared

ROW = {"epoch": 1, "step": 1, "steps": 2, "loss": 0.5, "mutual_information": 0.1, "lambda": 0.1, "rate": 1e-3}


@pytest.mark.parametrize("terminal", [True, False])
def test_nothing_is_left_where_nothing_is_trained(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finished run that is resumed, or an error before the first step."""
    screen = io.StringIO()
    monkeypatch.setattr(shared, "console", Console(file=screen, force_terminal=terminal))
    with shared.training_progress():
        pass
    with pytest.raises(ValueError), shared.training_progress():  # noqa: PT011  # any error
        raise ValueError
    assert screen.getvalue() == ""


@pytest.mark.parametrize("terminal", [True, False])
def test_the_last_step_stays(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(shared, "console", Console(file=screen, force_terminal=terminal, width=100))
    with shared.training_progress() as report:
        report(ROW)
        report({**ROW, "step": 2, "miou": 0.5, "seconds": 3.0})
    assert "lr 1.0e-03  val mIoU 50.0%  3 s" in screen.getvalue()
    assert screen.getvalue().rstrip().count("2/2") == 1 or terminal  # a terminal is redrawn with each step
