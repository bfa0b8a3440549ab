"""Objects that moved are found where the thermal image has them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from cimnet.data.synthetic import render
from cimnet.registration import align_pair
from cimnet.registration.objects import object_offsets

CAR, TRUCK = 4, 5


def test_moving_cars_and_trucks() -> None:
    errors, alone, known, asked = [], [], 0, 0
    for index in range(0, 24, 4):
        pair = render(2, split="test", index=index, late=1.0)
        found = align_pair(pair.rgb, pair.thermal)
        if found.matrix is None:
            continue
        for thing in object_offsets(pair.rgb, pair.thermal, pair.label, (CAR, TRUCK), found.matrix):
            left, top, right, bottom = thing.box
            mask = np.zeros(pair.label.shape, bool)
            mask[top:bottom, left:right] = pair.label[top:bottom, left:right] == thing.class_id
            if not pair.moving[mask].all():
                continue
            asked += 1
            dy, dx = pair.offset[:, mask].mean(axis=1)
            if thing.dx is not None and thing.dy is not None and thing.own_dx is not None and thing.own_dy is not None:
                known += 1
                errors.append(np.hypot(thing.dx - dx, thing.dy - dy))
                alone.append(np.hypot(thing.dx - thing.own_dx - dx, thing.dy - thing.own_dy - dy))
    assert known > 0.3 * asked > 5
    assert np.median(errors) < 1
    assert np.median(errors) < 0.5 * np.median(alone)


def test_nothing_to_see_is_unknown() -> None:
    rgb, thermal = np.full((64, 64, 3), 90, np.uint8), np.full((64, 64), 120, np.uint8)
    label = np.zeros((64, 64), np.uint8)
    label[20:40, 20:40] = 1
    label[0:3, 0:3] = 1  # too small to look for
    (thing,) = object_offsets(rgb, thermal, label, [1], np.eye(2, 3))
    assert (thing.status, thing.dx, thing.own_dy) == ("unknown", None, None)
    assert (thing.box, thing.pixels, thing.class_id) == ((20, 20, 40, 40), 400, 1)


@pytest.mark.parametrize("moved", [0, 4])
def test_own_offset_is_what_is_beyond_that_of_the_cameras(moved: int) -> None:
    """The thermal camera sees everything 3 pixels to the right and 2 up; the object has gone on by ``moved``."""
    texture = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((128, 160)), 1.5)
    grey = np.clip(128 + 300 * texture, 0, 255).astype(np.uint8)
    label = np.zeros(grey.shape, np.uint8)
    label[40:90, 50:110] = 1
    thermal = np.roll(grey, (-2, 3), (0, 1))
    seen = np.roll(label, (-2, 3 + moved), (0, 1)) == 1
    thermal[seen] = np.roll(grey, (-2, 3 + moved), (0, 1))[seen]
    matrix = np.array([[1.0, 0, 3], [0, 1, -2]])
    (thing,) = object_offsets(np.repeat(grey[..., None], 3, axis=2), thermal, label, [1], matrix)
    assert thing.status == "ok"
    assert (thing.own_dx, thing.own_dy) == pytest.approx((moved, 0), abs=0.3)
    assert (thing.dx, thing.dy) == pytest.approx((3 + moved, -2), abs=0.3)
