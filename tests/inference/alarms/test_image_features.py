"""Numbers of images: finite whatever the image, and moved by what they are there for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from cimnet.data.sample import RGBTSample
from cimnet.inference.alarms.image_features import pair_stats, rgb_stats, thermal_stats
from cimnet.inference.alarms.model_features import measure
from cimnet.models import create_model
from tests.fakes.scene_dataset import SceneDataset


@pytest.fixture(scope="module")
def scene() -> RGBTSample:
    return SceneDataset("train", 3, size=(128, 160), scale=0.25)[1]


SIZES = [(8, 8), (1, 1), (2, 3), (33, 17), (5, 400)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["noise", "zero", "one", "grey"])
def test_always_finite(size: tuple[int, int], kind: str) -> None:
    generator = torch.Generator().manual_seed(1)
    rgb, thermal = (
        torch.rand(c, *size, generator=generator)
        if kind == "noise"
        else torch.full((c, *size), {"zero": 0.0, "one": 1.0, "grey": 0.4}[kind])
        for c in (3, 1)
    )
    numbers = rgb_stats(rgb) | thermal_stats(thermal) | pair_stats(rgb, thermal)
    assert all(math.isfinite(value) for value in numbers.values()), numbers


def test_noise_is_measured_in_its_own_unit() -> None:
    noisy = 0.5 + 0.05 * torch.randn(1, 200, 200, generator=torch.Generator().manual_seed(0))
    assert math.exp(thermal_stats(noisy)["thermal_noise"]) == pytest.approx(0.051, rel=0.05)


def test_shares_at_the_ends() -> None:
    image = torch.full((1, 10, 10), 0.5)
    image[0, 0], image[0, 1, :5] = 0.0, 1.0
    numbers = thermal_stats(image)
    assert numbers["thermal_at_low"] == pytest.approx(0.1)
    assert numbers["thermal_at_high"] == pytest.approx(0.05)
    assert numbers["thermal_brightness"] == pytest.approx(0.475)


def test_each_defect_moves_its_number(scene: RGBTSample) -> None:
    generator = torch.Generator().manual_seed(0)
    rgb, thermal = rgb_stats(scene.rgb), thermal_stats(scene.thermal)
    lines = thermal_stats(scene.thermal + 0.1 * torch.randn(160, generator=generator))
    assert lines["thermal_pattern"] > thermal["thermal_pattern"] + 0.5
    soft = torch.from_numpy(ndimage.gaussian_filter(scene.thermal.numpy(), (0, 3, 3)))
    assert thermal_stats(soft)["thermal_sharpness"] < thermal["thermal_sharpness"] - 0.7
    along = torch.from_numpy(ndimage.uniform_filter1d(scene.rgb.numpy(), 11, axis=2))
    assert rgb_stats(along)["rgb_direction"] > rgb["rgb_direction"] + 0.5
    foggy = rgb_stats(0.7 + 0.3 * scene.rgb)
    assert foggy["rgb_veil"] > rgb["rgb_veil"] + 0.5
    blocks = torch.nn.functional.interpolate(scene.rgb[None, :, ::8, ::8], scale_factor=8)[0]
    assert rgb_stats(blocks)["rgb_blocks"] > rgb["rgb_blocks"] + 1


def test_a_known_offset_is_found() -> None:
    """Random structure, the thermal image inverted and moved by 3 rows and −4 columns of 160."""
    structure = ndimage.gaussian_filter(np.random.default_rng(0).random((140, 180)), 2)
    structure = (structure - structure.min()) / np.ptp(structure)
    rgb = torch.from_numpy(structure[10:130, 10:170].astype(np.float32)).expand(3, -1, -1)
    thermal = torch.from_numpy(1 - structure[7:127, 14:174].astype(np.float32))[None]
    moved, still = pair_stats(rgb, thermal), pair_stats(rgb, 1 - rgb[:1])
    assert moved["shift"] == pytest.approx(1000 * 5 / 160)
    assert moved["gain"] > 0.5
    assert moved["local_shift"] == 1
    assert still["agreement"] > 0.99
    assert (still["shift"], still["gain"], still["local_gain"], still["local_shift"]) == pytest.approx((0, 0, 0, 0))


@pytest.mark.usefixtures("pixel")
def test_signals_of_a_model() -> None:
    """A model that looks at the thermal image alone: class 1 where it is above 0.5."""
    model = create_model("pixel_plain", 2).eval()
    weight, bias = model.get_submodule("classify").parameters()
    with torch.no_grad():
        weight.zero_()
        bias.zero_()
        weight[1, 3] = 1.0
    thermal = torch.zeros(1, 4, 8)
    thermal[:, :, :2] = 1.0
    numbers = measure(model, torch.rand(3, 4, 8), thermal, torch.device("cpu"))
    assert numbers["without_rgb"] == 1
    assert numbers["without_thermal"] == 0.75
    assert numbers["sureness"] == pytest.approx(1 / (1 + math.exp(-2)))  # (1 − 0.5) / 0.25 = 2
    assert numbers["flow"] == 0
