"""The alarms on scenes: which are raised by what, what they say, what is stored."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from scipy import ndimage

from cimnet.analysis.calibration.defects import DEFECTS, Case, alarm_of, cases
from cimnet.analysis.calibration.fit import curve_of
from cimnet.data.corruptions import corrupt
from cimnet.errors import CheckpointError, DataError
from cimnet.inference.alarms.alarm import NUMBERS, AlarmModel, MeasuredCase, fit_alarm
from cimnet.inference.alarms.thresholds import ALARMS
from tests.analysis.calibration.conftest import Kept, numbers_of


def test_cases_have_the_truth_of_their_defect(made: list[Case], scenes: Kept) -> None:
    whole = [case for case in made if not case.defect]
    assert [case.pair for case in whole] == list(range(24))
    for case in made:
        flags = scenes[case.pair].flags
        if case.defect:
            assert flags.isdisjoint({"rgb_broken", "thermal_broken"})
            assert case.truth.get(alarm_of(case.defect), True)
            assert not case.sound
        else:
            assert case.sound == (not flags)
            assert case.truth["rgb_broken"] == ("rgb_broken" in flags)
        misaligned = "weakly_aligned" in flags or alarm_of(case.defect or "jpeg") == "misaligned"
        assert case.truth.get("misaligned") in (None, misaligned)
    assert {case.defect for case in made} >= {"blackout", "thermal_blur", "translation", "time_lag"}


def test_offsets_are_of_four_pixels_and_more_at_320(made: list[Case]) -> None:
    lengths = [
        float(case.sample.offset.norm(dim=0).max()) * 320 / 160 for case in made if case.sample.offset is not None
    ]
    assert len(lengths) > 20
    assert min(lengths) >= 3.96


def test_the_same_seed_gives_the_same_cases(scenes: Kept, made: list[Case]) -> None:
    again = cases(scenes)
    for case, first in zip((next(again) for _ in range(8)), made, strict=False):
        assert (case.pair, case.defect) == (first.pair, first.defect)
        assert torch.equal(case.sample.thermal, first.sample.thermal)


def test_many_pairs_get_fewer_copies_and_chosen_defects_only(scenes: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cimnet.analysis.calibration.defects.MOST_PAIRS", 6)
    few = list(cases(scenes, seed=3, defects=("jpeg", "stripes", "fog")))
    assert len({case.pair for case in few}) == 6
    assert {case.defect for case in few} <= {"", "jpeg", "stripes", "fog"}
    assert len(few) <= 6 * 3


def test_a_black_rgb_image_and_a_blurred_thermal_image(alarm: AlarmModel, scenes: Kept) -> None:
    sound = next(sample for sample in scenes.kept if not sample.flags)
    assert alarm(numbers_of(sound)).raised == ()
    black = alarm(numbers_of(replace(sound, rgb=torch.zeros_like(sound.rgb))))
    assert black.raised == ("rgb_broken",)
    assert "the RGB image looks broken" in black.texts["rgb_broken"]
    soft = torch.from_numpy(ndimage.gaussian_filter(sound.thermal.numpy(), (0, 4, 4)))
    blurred = alarm(numbers_of(replace(sound, thermal=soft)))
    assert "thermal_broken" in blurred.raised
    assert "rgb_broken" not in blurred.raised
    assert "the thermal image looks broken" in blurred.texts["thermal_broken"]
    assert set(blurred.probabilities) == set(ALARMS)


def test_a_shifted_pair(alarm: AlarmModel, scenes: Kept) -> None:
    sound = [sample for sample in scenes.kept if not sample.flags][1]
    shifted = alarm(numbers_of(corrupt(sound, "translation", level=6)))
    assert shifted.raised == ("misaligned",)
    assert shifted.texts["misaligned"].startswith("RGB and thermal image do not lie on each other (")


def test_few_false_alarms_and_most_defects_found(alarm: AlarmModel, measured: list[MeasuredCase]) -> None:
    for name in ALARMS:
        assert curve_of(alarm, measured, name)[2] > 0.85
        sound = [name in alarm(case.numbers).raised for case in measured if case.sound]
        assert sum(sound) <= 1
        assert alarm.detectors[name].threshold >= 0.5


def test_what_is_stored_is_plain_json(alarm: AlarmModel, scenes: Kept) -> None:
    again = AlarmModel.from_dict(json.loads(json.dumps(alarm.to_dict(), allow_nan=False)))
    assert again == alarm
    numbers = numbers_of(scenes[0])
    assert again(numbers) == alarm(numbers)


def test_alarms_of_other_versions(alarm: AlarmModel) -> None:
    content = alarm.to_dict()
    unknown = json.loads(json.dumps(content).replace('"rgb_noise"', '"rgb_smell"'))
    for other in ({**content, "version": 2}, {"version": 1}, {}, unknown):
        with pytest.raises(CheckpointError, match=r"another version of cimnet.*run `cimnet calibrate` again"):
            AlarmModel.from_dict(other)


def test_too_few_pairs() -> None:
    numbers = {name: 0.0 for names in NUMBERS.values() for name in names}
    sound = [MeasuredCase(numbers, dict.fromkeys(ALARMS, False), k, "", True) for k in range(8)]
    with pytest.raises(DataError, match=r"7 sound pairs.*at least 8"):
        fit_alarm(sound[:7])
    with pytest.raises(DataError, match="alarm rgb_broken: 0 cases"):
        fit_alarm(sound)


def test_all_defects_belong_to_an_alarm() -> None:
    assert {alarm_of(name) for name in DEFECTS} == set(ALARMS)
    assert alarm_of("rgb_dropped") == "misaligned"
    assert "rgb_dropped" not in DEFECTS
