"""Geometric corruptions: what RGB shows at p lies at p + offset(p) in the changed thermal image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import ndimage

from cimnet.data import IGNORE_INDEX, RGBTSample
from cimnet.data.classes import moving_ids
from cimnet.data.corruptions import corrupt, geometry
from cimnet.data.corruptions.corruption import Context
from cimnet.errors import DataError

HEIGHT, WIDTH = 120, 160
CAR = 2
Array = npt.NDArray[np.float64]


def smooth(name: str = "a") -> RGBTSample:
    """Slow texture; ground (0), a tree (1), two cars (2)."""
    thermal = ndimage.gaussian_filter(np.random.default_rng(3).standard_normal((HEIGHT, WIDTH)), 5)
    thermal = (thermal - thermal.min()) / np.ptp(thermal)
    label = torch.zeros(HEIGHT, WIDTH, dtype=torch.int64)
    label[10:30, 20:50], label[50:66, 60:84], label[84:100, 110:134] = 1, CAR, CAR
    return RGBTSample(torch.zeros(3, HEIGHT, WIDTH), torch.from_numpy(thermal.astype(np.float32))[None], label, name)


def offset_of(sample: RGBTSample) -> Array:
    assert sample.offset is not None
    return sample.offset.numpy().astype(np.float64)


def context(seed: int = 0) -> Context:
    return Context(np.random.default_rng(seed), np.random.default_rng(seed), frozenset({CAR}))


def error(before: RGBTSample, after: RGBTSample) -> Array:
    """Of the changed thermal image at p + offset(p), against the old one at p; only where that lies inside."""
    places = np.mgrid[:HEIGHT, :WIDTH] + offset_of(after)
    inside = ((places > 1) & (places < np.array([HEIGHT - 2, WIDTH - 2])[:, None, None])).all(0)
    assert inside.mean() > 0.5
    back = ndimage.map_coordinates(after.thermal[0].numpy(), places, order=1)
    return np.abs(back - before.thermal[0].numpy())[inside]


@pytest.mark.parametrize("name", ["translation", "rotation", "scale", "affine", "warp", "rolling_shutter"])
@pytest.mark.parametrize("key", range(3))
def test_offset_leads_to_the_same_thing(name: str, key: int) -> None:
    sample = smooth(str(key))
    after = corrupt(sample, name, level=6)
    assert np.abs(offset_of(after)).max() > 1
    assert error(sample, after).max() < 0.03
    assert np.quantile(error(sample, replace(after, offset=-after.offset)), 0.9) > 0.05  # type: ignore[operator]


@pytest.mark.parametrize("step", [(3, 0), (0, -4), (-5, 2)])
def test_whole_pixels(step: tuple[int, int]) -> None:
    sample = smooth()
    after = geometry._affine(sample, np.eye(2), np.array(step, np.float64))
    old, new = sample.thermal[0].numpy(), after.thermal[0].numpy()
    assert (offset_of(after) == np.array(step)[:, None, None]).all()
    rows = np.clip(np.arange(HEIGHT) - step[0], 0, HEIGHT - 1)  # at the border the nearest pixel
    columns = np.clip(np.arange(WIDTH) - step[1], 0, WIDTH - 1)
    np.testing.assert_allclose(new, old[np.ix_(rows, columns)], atol=1e-6)


def test_translation() -> None:
    offset = offset_of(corrupt(smooth(), "translation", level=7))
    np.testing.assert_allclose(np.hypot(*offset), 7, rtol=1e-6)
    assert np.ptp(offset[0]) == np.ptp(offset[1]) == 0


def test_rotation() -> None:
    offset = offset_of(corrupt(smooth(), "rotation", level=4))
    y, x = np.mgrid[:HEIGHT, :WIDTH] - np.array([(HEIGHT - 1) / 2, (WIDTH - 1) / 2])[:, None, None]
    np.testing.assert_allclose(np.hypot(*offset), 2 * np.sin(np.deg2rad(2)) * np.hypot(y, x), atol=1e-4)


def test_scale() -> None:
    signs = set()
    for key in range(8):
        offset = offset_of(corrupt(smooth(str(key)), "scale", level=10))
        slopes = [np.diff(offset[0], axis=0), np.diff(offset[1], axis=1)]
        factor = 1 + float(slopes[0].mean())
        assert min(abs(factor - 1.1), abs(factor - 1 / 1.1)) < 1e-5
        assert max(float(np.ptp(slope)) for slope in slopes) < 1e-4
        signs.add(factor > 1)
    assert signs == {True, False}


def test_affine() -> None:
    seen = [offset_of(corrupt(smooth(str(key)), "affine", level=8)) for key in range(20)]
    corners = np.array([[o[:, 0, 0], o[:, 0, -1], o[:, -1, 0]] for o in seen])
    assert 7 < np.abs(corners).max() <= 8
    for offset in seen:
        assert np.abs(np.diff(offset, n=2, axis=1)).max() < 1e-4  # linear
        assert np.abs(np.diff(offset, n=2, axis=2)).max() < 1e-4


def test_warp() -> None:
    offset = offset_of(corrupt(smooth(), "warp", level=6))
    assert 5 < np.hypot(*offset).max() <= 6.001
    assert np.abs(np.diff(offset, axis=2)).max() < 0.8  # smooth
    assert offset.std() > 1


def test_rolling_shutter() -> None:
    offset = offset_of(corrupt(smooth(), "rolling_shutter", level=10))
    assert (offset[0] == 0).all()
    assert np.ptp(offset[1], axis=1).max() == 0
    rows = offset[1, :, 0]
    assert abs(rows[-1] - rows[0]) == pytest.approx(10)
    assert rows[0] == pytest.approx(-rows[-1])
    assert np.ptp(np.diff(rows)) < 1e-5


def with_bright_cars() -> RGBTSample:
    sample = smooth()
    assert sample.label is not None
    thermal = torch.where(sample.label == CAR, 0.9, 0.2)
    return replace(sample, thermal=thermal[None])


def test_time_lag_moves_the_cars_only() -> None:
    sample = with_bright_cars()
    assert sample.label is not None
    after = geometry.time_lag(sample, 16, context())
    offset, label = offset_of(after), sample.label.numpy()
    assert (offset[:, label != CAR] == 0).all()
    steps = []
    for box in (np.s_[50:66, 60:84], np.s_[84:100, 110:134]):
        part = offset[(slice(None), *box)]
        assert np.ptp(part, axis=(1, 2)).max() == 0
        step = part[:, 0, 0]
        assert 0.4 * 16 <= np.hypot(*step) <= 16
        steps.append(step)
        mask = np.zeros(label.shape)
        mask[box] = 1
        moved = ndimage.shift(mask, step, order=1)
        now = after.thermal[0].numpy()
        assert now[moved > 0.99].min() > 0.75
        away = (mask > 0) & (ndimage.grey_dilation(moved, (9, 9)) < 0.01)
        assert away.any()
        assert now[away].max() < 0.3  # where it was, there is ground
    assert not np.allclose(*steps)
    near = ndimage.binary_dilation(label == CAR, iterations=30)
    assert torch.equal(after.thermal[0][~near], sample.thermal[0][~near])


def test_parallax_moves_small_regions_along_one_line() -> None:
    sample = with_bright_cars()
    offset = offset_of(geometry.parallax(sample, 10, context()))
    assert sample.label is not None
    assert (offset[:, sample.label.numpy() == 0] == 0).all()  # the ground: more than a fifth
    steps = np.array([offset[:, 15, 25], offset[:, 55, 65], offset[:, 90, 120]])
    lengths = np.hypot(*steps.T)
    assert (lengths > 0).all()
    assert (lengths <= 10).all()
    assert len(set(lengths.round(4))) == 3
    directions = steps / lengths[:, None]
    np.testing.assert_allclose(directions, directions[:1].repeat(3, 0), atol=1e-4)


def test_parallax_has_no_nearest_class_and_leaves_what_is_ignored() -> None:
    sample = with_bright_cars()
    assert sample.label is not None
    sample.label[70:80, 10:20] = IGNORE_INDEX
    nearest = set()
    for seed in range(12):
        offset = offset_of(geometry.parallax(sample, 10, context(seed)))
        assert (offset[:, 70:80, 10:20] == 0).all()
        nearest.add(int(np.argmax([np.hypot(*offset[:, 15, 25]), np.hypot(*offset[:, 55, 65])])))
    assert nearest == {0, 1}


def test_twice() -> None:
    """The offsets of two corruptions follow one another."""
    sample = smooth()
    turned = corrupt(sample, "rotation", level=6)
    after = corrupt(turned, "affine", level=10)
    middle = np.s_[25:-25, 25:-25]
    places = (np.mgrid[:HEIGHT, :WIDTH] + offset_of(after))[(slice(None), *middle)]
    back = ndimage.map_coordinates(after.thermal[0].numpy(), places, order=1)
    np.testing.assert_allclose(back, sample.thermal[0].numpy()[middle], atol=0.03)
    assert np.abs(offset_of(after) - offset_of(turned)).max() > 2
    one, two = (offset_of(corrupt(sample, "translation", level=3, seed=seed)) for seed in (0, 1))
    both = offset_of(corrupt(corrupt(sample, "translation", level=3, seed=0), "translation", level=3, seed=1))
    np.testing.assert_allclose(both, one + two, atol=1e-5)


def test_labels_are_needed() -> None:
    bare = replace(smooth(), label=None)
    for name in ("time_lag", "parallax"):
        with pytest.raises(DataError, match=f"a: {name} moves things by their label, and there is none"):
            corrupt(bare, name, 1, moving=[CAR])
    assert moving_ids(["road", "Car", "tree", "human"]) == {1, 3}


def test_nothing_to_move() -> None:
    sample = smooth()
    for moving in ((), (7,)):
        after = corrupt(sample, "time_lag", 5, moving=moving)
        assert torch.equal(after.thermal, sample.thermal)
        assert not offset_of(after).any()
