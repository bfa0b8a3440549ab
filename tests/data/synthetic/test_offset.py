"""The offset field says where the thermal camera sees what the colour camera sees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cimnet.data.synthetic import render
from cimnet.data.synthetic.class_ids import CAR
from cimnet.data.synthetic.draws import sample_scene
from cimnet.data.synthetic.render import draw
from cimnet.data.synthetic.world import Registration

STILL = (0.0, 0.0, 0.0, 0.0)


def marker(registration, velocity, scale):
    """A scene of nothing but one burning hot car, large enough (above 1% of the view) for the gain control."""
    scene, dice = sample_scene(0, "train", 0)
    car = next(t for t in scene.things if t.kind == "car")
    temps = dict.fromkeys(car.temps, 200.0)
    hot = replace(car, at=(320.0, 256.0), velocity=velocity, temps=temps, length=160.0, width=60.0)
    lone = replace(scene, things=(hot,), decals=(), registration=registration, flags=frozenset())
    return draw(lone, dice, "marker", (int(512 * scale), int(640 * scale)), scale, noise=0.0)


def middle(mask):
    return np.array([axis.mean() for axis in np.nonzero(mask)])


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_moving_marker_is_seen_where_the_offset_says(scale):
    """Static (5, -3) and 0.1 s of motion at (200, -120) px/s, in (x, y): (dy, dx) = (-15, 25)."""
    pair = marker(Registration((5.0, -3.0), STILL, 0.1), (200.0, -120.0), scale)
    car = pair.label == CAR
    seen = middle(pair.thermal > 160)
    np.testing.assert_allclose(seen - middle(car), [-15 * scale, 25 * scale], atol=0.7)
    np.testing.assert_allclose(pair.offset[:, car], np.full((2, car.sum()), [[-15], [25]]) * scale, atol=1e-3)
    assert pair.moving[car].all()
    ground = ~pair.moving
    np.testing.assert_allclose(pair.offset[:, ground], np.full((2, ground.sum()), [[-3], [5]]) * scale, atol=1e-3)


def test_the_affine_residual_counts_from_the_middle_of_the_canvas():
    pair = marker(Registration((0.0, 0.0), (0.01, 0.0, 0.0, -0.02), 0.0), (0.0, 0.0), 1.0)
    assert not pair.moving.any()
    y, x = 100, 600
    np.testing.assert_allclose(pair.offset[:, y, x], [-0.02 * (y + 0.5 - 256), 0.01 * (x + 0.5 - 320)], atol=1e-3)


def backwards(thermal, offset):
    """The thermal image as the colour camera would frame it (nearest pixel), and where that lies inside."""
    height, width = thermal.shape
    y, x = np.mgrid[:height, :width]
    y, x = np.rint(y + offset[0]).astype(int), np.rint(x + offset[1]).astype(int)
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    return thermal[y.clip(0, height - 1), x.clip(0, width - 1)].astype(float), inside


@pytest.mark.parametrize("what", ["static", "dynamic"])
def test_whole_scenes_agree_with_their_unmoved_twin(what):
    """Brought back by the true offset, the thermal image is that of perfect cameras; by any other it is not."""
    index = next(i for i in range(300) if _shifted(i, what))
    scene, dice = sample_scene(2, "train", index)
    pair = draw(scene, dice, "", noise=0.0)
    _, dice = sample_scene(2, "train", index)
    ideal = draw(replace(scene, registration=Registration((0.0, 0.0), STILL, 0.0)), dice, "", noise=0.0)
    np.testing.assert_array_equal(ideal.label, pair.label)
    fast = np.abs(pair.offset - np.median(pair.offset, axis=(1, 2))[:, None, None]).max(0) > 5
    where = fast if what == "dynamic" else ~pair.moving
    dy, dx = pair.offset

    def error(offset):
        back, inside = backwards(pair.thermal, offset)
        return np.abs(back - ideal.thermal)[where & inside].mean()

    true = error(pair.offset)
    for wrong in ((-dy, -dx), (dx, dy), (dy, -dx), (-dy, dx), (0 * dy, 0 * dx)):
        assert error(np.stack(wrong)) > 1.5 * true


def _shifted(index, what):
    scene = sample_scene(2, "train", index)[0]
    x, y = scene.registration.shift
    far = max((np.hypot(*scene.registration.dynamic(t)) for t in scene.things if t.moving), default=0)
    if "thermal_broken" in scene.flags:
        return False
    if what == "dynamic":
        motions = [scene.registration.dynamic(t) for t in scene.things if t.label == CAR and t.moving]
        return far > 14 and any(min(abs(mx), abs(my), abs(abs(mx) - abs(my))) > 4 for mx, my in motions)
    return min(abs(x), abs(y)) > 2 and abs(abs(x) - abs(y)) > 2


def test_only_moving_things_leave_the_static_field():
    pair = render(2, index=next(i for i in range(300) if _shifted(i, "dynamic")))
    dy = pair.offset[0]
    steps = np.abs(np.diff(dy, axis=1)) > 0.5  # the affine part changes slowly
    assert steps.any()
    assert (pair.moving[:, 1:] | pair.moving[:, :-1])[steps].all()
