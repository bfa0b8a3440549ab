"""Light, failure and misalignment come at the rates of Kust4K."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from cimnet.data.synthetic.dice import Dice
from cimnet.data.synthetic.draws import WEAK_DYNAMIC, WEAK_STATIC, sample_scene


@pytest.fixture(scope="module")
def scenes():
    return [sample_scene(0, "test", index)[0] for index in range(400)]


def test_day_night_and_dark_night(scenes):
    count = Counter(scene.climate.scene for scene in scenes)
    assert count["day"] / 400 == pytest.approx(2514 / 4024, abs=0.01)
    assert count["night"] / 400 == pytest.approx(857 / 4024, abs=0.01)
    assert count["dark_night"] / 400 == pytest.approx(653 / 4024, abs=0.01)


def test_broken_modalities(scenes):
    count = Counter(flag for scene in scenes for flag in scene.flags)
    assert count["rgb_broken"] / 400 == pytest.approx(151 / 807, abs=0.01)
    assert count["thermal_broken"] / 400 == pytest.approx(91 / 807, abs=0.01)
    assert not any({"rgb_broken", "thermal_broken"} <= scene.flags for scene in scenes)


def test_weak_alignment(scenes):
    weak = [scene for scene in scenes if "weakly_aligned" in scene.flags]
    assert len(weak) / 400 == pytest.approx(290 / 807, abs=0.05)
    static = np.array([np.hypot(*scene.registration.shift) for scene in scenes])
    assert (static < 1.5).mean() == pytest.approx(0.52, abs=0.06)
    assert static.max() <= 10
    motion = [np.hypot(*s.registration.dynamic(t)) for s in scenes for t in s.things if t.moving]
    assert 15 < max(motion) <= 25.001
    for scene in weak:
        dynamic = max((np.hypot(*scene.registration.dynamic(t)) for t in scene.things), default=0)
        assert np.hypot(*scene.registration.shift) > WEAK_STATIC - 0.1 or dynamic > WEAK_DYNAMIC


def test_badly_synchronised_cameras_on_demand(scenes):
    """``late`` changes how long the thermal camera lags, and nothing else about a scene."""
    for index in range(20):
        late, prompt = (sample_scene(0, "test", index, late=share)[0] for share in (1.0, 0.0))
        assert (late.things, late.roads, late.climate) == (prompt.things, prompt.roads, prompt.climate)
        assert late.registration.shift == prompt.registration.shift == scenes[index].registration.shift
        fastest = max(np.hypot(*t.velocity) for t in late.things)
        reach = [s.registration.lag * max(fastest, 30) for s in (late, prompt)]
        assert 6 <= reach[0] <= 25
        assert reach[1] <= 4


def test_a_small_set_holds_every_light_and_failure():
    scenes = [sample_scene(3, "val", index)[0] for index in range(20)]
    assert {scene.climate.scene for scene in scenes} == {"day", "night", "dark_night"}
    assert {"rgb_broken", "thermal_broken"} <= {flag for scene in scenes for flag in scene.flags}


def test_temperatures_overlap_between_classes_and_differ_within(scenes):
    day = [scene for scene in scenes if scene.climate.scene == "day"]
    roofs = [t.temps["roof"] - s.climate.air for s in day for t in s.things if t.kind == "building"]
    cars = [t.temps["roof"] - s.climate.air for s in day for t in s.things if t.kind == "car"]
    assert np.std(roofs) > 4
    assert np.std(cars) > 4
    assert np.percentile(roofs, 25) < np.median(cars) < np.percentile(roofs, 95)
    engines = [
        (t.temps["bonnet"] - t.temps["body"], t.moving) for s in scenes for t in s.things if t.kind == "car"
    ]  # fmt: skip
    assert min(heat for heat, moving in engines if moving) > 5
    assert any(heat == 0 for heat, moving in engines if not moving)


def test_dice():
    dice = Dice(0, "train", 0)
    draws = [dice.integer(1, 3) for _ in range(200)]
    assert set(draws) == {1, 2, 3}
    assert all(2 <= dice.around(3, 1) <= 4 for _ in range(200))
    assert {dice.pick("ab") for _ in range(50)} == {"a", "b"}
