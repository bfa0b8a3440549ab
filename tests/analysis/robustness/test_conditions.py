"""Conditions, presets, and how they are written on the command line."""

from __future__ import annotations

import pytest

from cimnet.analysis.robustness import PRESETS, Condition, parse_corruption, preset
from cimnet.data.corruptions import CORRUPTIONS
from cimnet.errors import ConfigError


def test_presets() -> None:
    assert len(preset("full")) == 5 * len(CORRUPTIONS)
    assert {c.severity for c in preset("quick")} == {1, 3, 5}
    assert 7 <= len({c.name for c in preset("quick")}) <= 9
    assert {CORRUPTIONS[c.name].group for c in preset("quick")} == {"geometry", "rgb", "thermal"}
    assert {CORRUPTIONS[c.name].group for c in preset("misalignment")} == {"geometry"}
    assert ("thermal_blur", 3) in [(c.name, c.severity) for c in preset("failure")]
    assert [(c.name, c.flag) for c in preset("table4")] == [("clean", "weakly_aligned")]
    assert [c.flag for c in preset("table5")] == ["rgb_broken", "thermal_broken"]
    for name in PRESETS:
        keys = [c.key for c in preset(name)]
        assert len(set(keys)) == len(keys)


def test_a_severity_and_its_level_are_the_same_condition() -> None:
    levels = CORRUPTIONS["translation"].levels
    assert Condition("translation", 3).key == Condition("translation", level=levels[2]).key == "translation-10"
    assert Condition("translation", 3).title == "translation, 10 px"
    assert Condition("rotation", 1).title == "rotation, 0.5°"
    assert Condition("clean", flag="rgb_broken").key == "clean-rgb_broken"


def test_the_command_line_form() -> None:
    assert [c.amount for c in parse_corruption("translation=0,5,10.5")] == [0, 5, 10.5]
    assert [c.severity for c in parse_corruption("fog")] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Condition("translatoin", 1), "unknown; choose from translation"),
        (lambda: Condition("fog"), "severity from 1 to 5, or a level"),
        (lambda: Condition("fog", 6), "severity from 1 to 5"),
        (lambda: Condition("fog", 1, 2.0), "severity from 1 to 5"),
        (lambda: Condition("clean", 1), "neither a severity nor a level"),
        (lambda: Condition("translation", level=float("nan")), "must be a number from 0 in px, not nan"),
        (
            lambda: parse_corruption("blackout=50,150"),
            "blackout: the level must be a number from 0 to 100 in % of rows",
        ),
        (lambda: parse_corruption("translation=a,b"), "levels in px with commas"),
        (lambda: parse_corruption("translation="), "levels in px with commas"),
        (lambda: parse_corruption("clean"), "always measured"),
        (lambda: preset("slow"), "preset 'slow' is unknown; choose from full, quick"),
    ],
)
def test_what_is_refused(make, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
