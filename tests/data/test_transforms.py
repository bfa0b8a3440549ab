"""Training transforms: one geometry for all, photometric changes by sensor, randomness from torch's generator."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from cimnet.data import IGNORE_INDEX, RGBTSample, train_transform
from cimnet.errors import ConfigError
from cimnet.models.blank import present_mask

PLAIN: dict[str, Any] = {"color_jitter": (0.0, 0.0, 0.0, 0.0), "thermal_jitter": (0.0, 0.0, 0.0)}
HEIGHT, WIDTH = 120, 160


def _thermal_of(x: Tensor, y: Tensor) -> Tensor:
    """Both coordinates in one channel, within 0..1: a shift or a mirror along either axis shows."""
    return (x + 2 * y)[None] / 3


def coordinates() -> RGBTSample:
    """Every image tells where a pixel came from: rgb = (x, y, x), thermal = x + 2y, label = cell of a 16-pixel grid."""
    ys, xs = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    x, y = (xs + 0.5) / WIDTH, (ys + 0.5) / HEIGHT
    label = (xs // 16) + 10 * (ys // 16)
    return RGBTSample(torch.stack([x, y, x]), _thermal_of(x, y), label, "coordinates")


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("crop", [(64, 80), (96, 96), (300, 200)])
def test_geometry_is_shared(seed: int, crop: tuple[int, int]) -> None:
    torch.manual_seed(seed)
    sample = train_transform(crop, scale=(0.5, 2.0), vflip=0.5, **PLAIN)(coordinates())
    assert sample.rgb.shape == (3, *crop)
    assert sample.label is not None
    assert sample.label.dtype == torch.int64
    inside = sample.label != IGNORE_INDEX
    assert inside.any()
    torch.testing.assert_close(sample.thermal, _thermal_of(sample.rgb[0], sample.rgb[1]))
    x, y = sample.rgb[0][inside] * WIDTH, sample.rgb[1][inside] * HEIGHT
    label = sample.label[inside]
    off_x = (x - (16 * (label % 10) + 8)).abs() - 8
    off_y = (y - (16 * (label // 10) + 8)).abs() - 8
    assert off_x.max() < 1.01  # the label's cell holds the pixel's own coordinates, to a pixel
    assert off_y.max() < 1.01


def test_label_is_not_biased_against_the_images() -> None:
    """Labels resampled at pixel centres: on average they lie exactly where the images do."""
    torch.manual_seed(0)
    ramp = torch.arange(200.0).repeat(8, 1)
    sample = RGBTSample((ramp / 255).repeat(3, 1, 1), (ramp / 255)[None], ramp.to(torch.int64), "ramp")
    transform = train_transform((12, 300), scale=(1.7, 1.7), hflip=0, **PLAIN)
    result = transform(sample)
    assert result.label is not None
    difference = result.rgb[0] * 255 - result.label
    assert abs(float(difference[:, 5:-5].mean())) < 0.05


def test_outside_is_zero_and_ignored() -> None:
    torch.manual_seed(1)
    ones = RGBTSample(torch.ones(3, 20, 30), torch.ones(1, 20, 30), torch.zeros(20, 30, dtype=torch.int64), "ones")
    sample = train_transform((64, 64), scale=(1.0, 1.0), **PLAIN)(ones)
    assert sample.label is not None
    inside = sample.label == 0
    assert int(inside.sum()) == 20 * 30
    assert torch.equal(sample.label[~inside], torch.full((64 * 64 - 600,), IGNORE_INDEX))
    assert torch.equal(sample.rgb.sum(0) > 0, inside)
    assert torch.equal(sample.thermal[0] > 0, inside)


def test_photometric_changes_leave_label_and_place_alone() -> None:
    torch.manual_seed(2)
    before = coordinates()
    after = train_transform(
        (HEIGHT, WIDTH), scale=(1, 1), hflip=0, color_jitter=(0.5, 0.5, 0.5, 0.1), thermal_jitter=(0.5, 0.2, 0.05)
    )(before)
    assert after.label is not None
    assert torch.equal(after.label, before.label)
    assert not torch.allclose(after.rgb, before.rgb, atol=0.02)
    assert not torch.allclose(after.thermal, before.thermal, atol=0.02)
    for values in (after.rgb, after.thermal):
        assert values.min() >= 0
        assert values.max() <= 1
    assert not torch.allclose(after.thermal, _thermal_of(*after.rgb[:2]), atol=0.02)  # each sensor by itself


def test_no_change_asked_for_is_no_change() -> None:
    before = coordinates()
    after = train_transform((HEIGHT, WIDTH), scale=(1, 1), hflip=0, **PLAIN)(before)
    assert torch.equal(after.rgb, before.rgb)
    assert torch.equal(after.thermal, before.thermal)


def test_flips_mirror_the_right_axis() -> None:
    before = coordinates()
    mirrored = train_transform((HEIGHT, WIDTH), scale=(1, 1), hflip=1, **PLAIN)(before)
    assert torch.equal(mirrored.rgb, before.rgb.flip(2))
    assert torch.equal(mirrored.thermal, before.thermal.flip(2))
    upside_down = train_transform((HEIGHT, WIDTH), scale=(1, 1), hflip=0, vflip=1, **PLAIN)(before)
    assert upside_down.label is not None
    assert before.label is not None
    assert torch.equal(upside_down.label, before.label.flip(0))
    assert torch.equal(upside_down.thermal, before.thermal.flip(1))


def test_half_of_the_samples_are_mirrored_left_right_by_default() -> None:
    torch.manual_seed(6)
    before = coordinates()
    transform = train_transform((HEIGHT, WIDTH), scale=(1, 1), **PLAIN)
    mirrored = [torch.equal(transform(before).rgb, before.rgb.flip(2)) for _ in range(60)]
    assert 15 < sum(mirrored) < 45


def test_crops_reach_every_place() -> None:
    torch.manual_seed(7)
    transform = train_transform((HEIGHT - 3, WIDTH - 2), scale=(1, 1), hflip=0, **PLAIN)
    corners = {
        (float(s.rgb[0, 0, 0] * WIDTH), float(s.rgb[1, 0, 0] * HEIGHT)) for s in map(transform, [coordinates()] * 150)
    }
    assert {(round(x - 0.5), round(y - 0.5)) for x, y in corners} == set(itertools.product(range(3), range(4)))


def test_making_smaller_averages() -> None:
    """Noise of which every fourth pixel were taken would stay as strong."""
    torch.manual_seed(8)
    noise = torch.rand(4, 256, 256)
    sample = RGBTSample(noise[:3], noise[3:], None, "noise")
    small = train_transform((64, 64), scale=(0.25, 0.25), hflip=0, **PLAIN)(sample)
    assert float(small.rgb.std()) < 0.3 * float(noise.std())  # two by two pixels, as without antialiasing: 0.5
    assert float(small.thermal.std()) < 0.3 * float(noise.std())


def test_seed_decides_everything() -> None:
    transform = train_transform((48, 48), rare_class_prob=0.5, rare_classes=[3])
    results = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        results.append(transform(coordinates()))
    assert torch.equal(results[0].rgb, results[1].rgb)
    assert torch.equal(results[0].thermal, results[1].thermal)
    assert not torch.equal(results[0].rgb, results[2].rgb)


def test_rare_class_is_in_every_crop() -> None:
    torch.manual_seed(3)
    label = torch.zeros(HEIGHT, WIDTH, dtype=torch.int64)
    label[3:5, 150:152] = 7
    sample = RGBTSample(torch.rand(3, HEIGHT, WIDTH), torch.rand(1, HEIGHT, WIDTH), label, "rare")
    always = train_transform((32, 32), scale=(1, 1), rare_class_prob=1.0, rare_classes=[5, 7], **PLAIN)
    never = train_transform((32, 32), scale=(1, 1), **PLAIN)
    with_rare = [7 in always(sample).label.unique() for _ in range(20)]
    without = [7 in never(sample).label.unique() for _ in range(20)]
    assert all(with_rare)
    assert sum(without) < 10


def test_scale_changes_the_size_of_things() -> None:
    for scale in (0.5, 2.0):
        result = train_transform((40, 40), scale=(scale, scale), hflip=0, **PLAIN)(coordinates())
        step = (result.rgb[0, :, 25] - result.rgb[0, :, 15]).mean() * WIDTH / 10
        assert float(step) == pytest.approx(1 / scale, rel=0.1)


def test_sample_without_label() -> None:
    sample = RGBTSample(torch.rand(3, 20, 20), torch.rand(1, 20, 20), None, "x", "night", frozenset({"rgb_broken"}))
    result = train_transform((32, 16), rare_class_prob=1, rare_classes=[1])(sample)
    assert result.label is None
    assert (result.id, result.scene, result.flags) == ("x", "night", frozenset({"rgb_broken"}))


def test_tiny_images_and_extreme_scales() -> None:
    for (height, width), scale in itertools.product([(1, 1), (2, 50), (33, 3)], (0.01, 0.5, 7.0)):
        label = torch.ones(height, width, dtype=torch.int64)
        sample = RGBTSample(torch.rand(3, height, width), torch.rand(1, height, width), label, "tiny")
        assert train_transform((17, 9), scale=(scale, scale))(sample).rgb.shape == (3, 17, 9)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("crop", (0, 5)),
        ("scale", (2.0, 1.0)),
        ("scale", (0.0, 1.0)),
        ("hflip", 1.5),
        ("thermal_jitter", (-1.0, 0.0, 0.0)),
        ("color_jitter", (0.0, 0.0, 0.0, 0.6)),
        ("rare_classes", (255,)),
    ],
)
def test_impossible_settings(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=field):
        train_transform(**{"crop": (8, 8), field: value})


def test_thermal_gain_is_about_the_mean() -> None:
    torch.manual_seed(4)
    thermal = 0.4 + 0.1 * torch.rand(1, 20, 20)
    sample = RGBTSample(torch.zeros(3, 20, 20), thermal, None, "x")
    gain = {"color_jitter": (0.0, 0.0, 0.0, 0.0), "thermal_jitter": (0.5, 0.0, 0.0)}
    result = train_transform((20, 20), scale=(1, 1), hflip=0, **gain)(sample).thermal
    assert float(result.mean()) == pytest.approx(float(thermal.mean()), abs=1e-5)
    assert float(result.std() / thermal.std()) != pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("value", [0.0, 0.4])
@pytest.mark.parametrize("channels", [1, 3])
def test_lost_thermal_image_stays_lost(value: float, channels: int) -> None:
    """Whether an image shows anything is the same before and after, and other pairs get the same random numbers."""
    values = torch.linspace(0.2, 0.2 + value, channels) if value else torch.zeros(channels)
    lost = RGBTSample(torch.rand(3, 40, 50), values.view(-1, 1, 1).expand(-1, 40, 50), None, "lost")
    seen = RGBTSample(lost.rgb, torch.rand(channels, 40, 50), None, "seen")
    transform = train_transform((32, 32), scale=(1, 2), thermal_jitter=(0.2, 0.1, 0.1))
    states = []
    for sample in (lost, seen):
        torch.manual_seed(5)
        thermal = transform(sample).thermal[None]
        assert torch.equal(present_mask(thermal), present_mask(sample.thermal[None]))
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


def test_lost_thermal_image_stays_lost_beside_padding() -> None:
    torch.manual_seed(6)
    lost = RGBTSample(torch.rand(3, 40, 50), torch.zeros(1, 40, 50), None, "lost")
    transform = train_transform((64, 64), scale=(0.5, 1))
    assert not any(present_mask(transform(lost).thermal[None]) for _ in range(10))
