"""What a rendered pair holds: the same bytes everywhere, every class, honest sizes, one world at every scale."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from cimnet.data.synthetic import CLASSES, COLORS, ScenePair, render
from cimnet.data.synthetic.draws import sample_scene
from cimnet.errors import ConfigError

SMALL = {"size": (256, 320), "scale": 0.5}
# Raise FORMAT in synthesis.py with these: another value means that the same seed gives other pictures.
GOLDEN = {
    ("train", 0): "83f06f4375ed1428",
    ("val", 1): "a3915e5c04efe998",
    ("test", 7): "afa1b601ceef176f",
}


def digest(pair: ScenePair) -> str:
    arrays = (pair.rgb, pair.thermal, pair.label, pair.offset, pair.moving)
    data = b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)
    return hashlib.sha256(data + repr((pair.id, pair.scene, sorted(pair.flags))).encode()).hexdigest()[:16]


@pytest.mark.parametrize(("split", "index"), list(GOLDEN))
def test_the_same_seed_gives_the_same_bytes_as_ever(split, index):
    assert digest(render(5, split=split, index=index, size=(128, 160), scale=0.5)) == GOLDEN[split, index]


@pytest.mark.slow  # imports torch again; test_synthesize.py compares with other processes, too
def test_another_process_gives_the_same_bytes():
    code = (
        "from cimnet.data.synthetic import render; from tests.data.synthetic.test_render import digest;"
        "print(digest(render(11, split='val', index=3, size=(96, 96))))"
    )
    env = {**os.environ, "PYTHONHASHSEED": "123", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    found = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == digest(render(11, split="val", index=3, size=(96, 96)))


def test_seeds_splits_and_indices_give_different_scenes():
    seen = {
        digest(render(s, split=p, index=i, size=(32, 32))) for s in (0, 1) for p in ("train", "val") for i in (0, 1)
    }
    assert len(seen) == 8


def test_shapes_and_types():
    pair = render(0, size=(200, 240))
    assert pair.rgb.shape == (200, 240, 3)
    assert pair.rgb.dtype == np.uint8
    assert pair.thermal.shape == pair.label.shape == pair.moving.shape == (200, 240)
    assert pair.thermal.dtype == pair.label.dtype == np.uint8
    assert pair.offset.shape == (2, 200, 240)
    assert pair.offset.dtype == np.float32
    assert pair.moving.dtype == np.bool_
    assert len(CLASSES) == len(COLORS) == len(set(COLORS)) == 9


def test_every_class_is_in_most_scenes_and_in_plausible_shares():
    counts = np.stack([np.bincount(render(2, index=i, **SMALL).label.ravel(), minlength=9) for i in range(16)])
    assert (counts > 0).mean(axis=0).min() >= 0.85
    share = dict(zip(CLASSES, counts.sum(axis=0) / counts.sum(), strict=True))
    assert min(share["road"], share["building"]) > 0.12
    assert share["tree"] > 0.04
    assert 0.0004 < share["human"] < 0.01
    assert share["human"] < share["motorcycle"] * 3 < share["car"] * 3


def test_people_and_vehicles_have_the_sizes_of_kust4k():
    things = [t for i in range(30) for t in sample_scene(4, "test", i)[0].things]
    people = [t.rise for t in things if t.kind == "human"]
    assert 8 <= min(people) < 12
    assert 14 < max(people) <= 20
    cars = [t.length for t in things if t.kind == "car"]
    assert 25 <= min(cars) < max(cars) <= 60
    bikes = [t.length for t in things if t.kind == "motorcycle"]
    assert 12 <= min(bikes) < max(bikes) <= 25
    trucks = [t for t in things if t.kind == "truck"]
    assert min(t.length for t in trucks) > np.median(cars)
    assert min(t.width for t in trucks) > np.median([t.width for t in things if t.kind == "car"])


def test_one_world_at_every_scale_and_crop():
    whole = render(6, index=2)
    half = render(6, index=2, **SMALL)
    assert (whole.label[::2, ::2] == half.label).mean() > 0.9
    assert (whole.label == np.roll(whole.label, 12, 0)).mean() < 0.9  # the figure above means something
    crop = sample_scene(6, "train", 2)[0].crop
    x, y = int(crop[0] * (640 - 160)), int(crop[1] * (512 - 128))
    part = render(6, index=2, size=(128, 160))
    assert (whole.label[y : y + 128, x : x + 160] == part.label).mean() > 0.999


def test_labels_follow_the_colour_image_not_the_thermal_one():
    """Moved by its offset the label fits the thermal image; unmoved it fits the colour image."""
    index = next(i for i in range(80) if _day_and_shifted(i))
    pair = render(3, index=index, noise=0.0)
    scene = sample_scene(3, "train", index)[0]
    dx, dy = (round(v) for v in scene.registration.shift)
    inner = np.s_[40:-40, 40:-40]

    def contrast(image, oy, ox):
        """Difference across the edges of the label, moved by (oy, ox)."""
        label = np.roll(pair.label, (oy, ox), (0, 1))
        edge = (label[:, 1:] != label[:, :-1])[inner]
        return np.abs(np.diff(image.astype(float), axis=1))[inner][edge].mean()

    grey = pair.rgb.mean(axis=2)
    assert contrast(grey, 0, 0) > 1.3 * contrast(grey, dy, dx)
    assert contrast(pair.thermal, dy, dx) > 1.3 * contrast(pair.thermal, 0, 0)


def _day_and_shifted(index):
    scene = sample_scene(3, "train", index)[0]
    whole = not scene.flags & {"rgb_broken", "thermal_broken"}
    return whole and scene.climate.scene == "day" and np.hypot(*scene.registration.shift) > 6


def test_thermal_is_no_function_of_the_label():
    pairs = [render(8, index=i, **SMALL) for i in range(6)]
    whole = [p for p in pairs if "thermal_broken" not in p.flags]
    for class_id in range(1, 9):
        values = np.concatenate([p.thermal[p.label == class_id] for p in whole])
        assert values.std() > 12, CLASSES[class_id]
    for a, b in ((1, 2), (4, 1), (6, 0), (8, 2)):  # pairs of classes with shared grey values
        low, high = (
            np.histogram(np.concatenate([p.thermal[p.label == k] for p in whole]), 32, (0, 256))[0] for k in (a, b)
        )
        assert np.minimum(low / low.sum(), high / high.sum()).sum() > 0.15, (CLASSES[a], CLASSES[b])


def test_dark_nights_are_dark_and_days_are_not():
    levels = {"day": [], "night": [], "dark_night": []}
    for index in range(12):
        pair = render(9, index=index, size=(128, 160), scale=0.25)
        if "rgb_broken" not in pair.flags:
            levels[pair.scene].append(np.median(pair.rgb))
    assert min(levels["day"]) > 50
    assert max(levels["dark_night"]) < 45
    assert max(levels["dark_night"]) < min(levels["day"])


def test_broken_flags_match_the_content():
    found = {i: sample_scene(1, "test", i)[0].flags for i in range(40)}
    black = next(i for i, flags in found.items() if "rgb_broken" in flags)
    blurred = next(i for i, flags in found.items() if "thermal_broken" in flags)
    sound = next(i for i, flags in found.items() if not flags & {"rgb_broken", "thermal_broken"})

    def sharpness(pair):
        return np.abs(np.diff(pair.thermal.astype(float), axis=1)).mean() / pair.thermal.std()

    pairs = {i: render(1, split="test", index=i, **SMALL) for i in (black, blurred, sound)}
    assert not pairs[black].rgb.any()
    assert pairs[blurred].rgb.any()
    assert sharpness(pairs[blurred]) < 0.3 * sharpness(pairs[sound])
    assert sharpness(pairs[black]) > 0.3 * sharpness(pairs[sound])


@pytest.mark.parametrize(
    "wrong",
    [{"size": (600, 640)}, {"size": (4, 4)}, {"split": "all"}, {"index": -1}, {"seed": -3}, {"scale": 0.0}],
)
def test_unusable_arguments_are_refused(wrong):
    with pytest.raises(ConfigError) as caught:
        render(**{"seed": 0, **wrong})
    assert "\n" not in str(caught.value)
