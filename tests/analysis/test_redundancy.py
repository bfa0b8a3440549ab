"""The probes against exact answers, and over a model."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cimnet.analysis.redundancy import linear_cka, measure_redundancy, ridge_r2
from cimnet.data import open_dataset
from cimnet.errors import DataError
from cimnet.models import CIMNet, create_model
from tests.conftest import Trained

RNG = np.random.default_rng(0)


def _rotation(size: int) -> np.ndarray:
    return np.linalg.qr(RNG.normal(size=(size, size)))[0]


def test_cka_of_rotated_and_scaled_features_is_one() -> None:
    x = RNG.normal(size=(500, 6))
    assert linear_cka(x, 3 * x @ _rotation(6) + 7) == pytest.approx(1)


def test_cka_of_unrelated_features_is_near_zero() -> None:
    assert linear_cka(RNG.normal(size=(20_000, 6)), RNG.normal(size=(20_000, 9))) < 0.002


def test_cka_of_a_known_mixture() -> None:
    """y holds one of x's two orthonormal directions and one of its own: CKA = 1 / (√2 · √2)."""
    signs = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=float)
    assert linear_cka(signs[:, :2], signs[:, 1:]) == pytest.approx(0.5)


def test_cka_without_variation_is_undefined() -> None:
    assert math.isnan(linear_cka(np.ones((5, 2)), RNG.normal(size=(5, 2))))


def test_r2_of_a_linear_map_is_one_and_of_noise_zero() -> None:
    x = RNG.normal(size=(20, 64, 5))
    assert ridge_r2(x, x @ RNG.normal(size=(5, 7)) + 2, penalty=1e-9) == pytest.approx(1)
    assert abs(ridge_r2(x, RNG.normal(size=(20, 64, 7)))) < 0.03


def test_r2_is_the_share_that_can_be_predicted() -> None:
    x, noise = RNG.normal(size=(40, 200, 1)), RNG.normal(size=(40, 200, 1))
    assert ridge_r2(x, 2 * x + noise) == pytest.approx(0.8, abs=0.02)  # 4 of 5 parts of the variance


def test_r2_is_scored_on_other_images_than_it_is_fitted_to() -> None:
    """Each image has its own random relation: what is learned on some is worth nothing on the others."""
    x = RNG.normal(size=(2, 300, 4))
    y = np.stack([image @ RNG.normal(size=(4, 3)) for image in x])
    assert ridge_r2(x, y) < 0.5
    seen = ridge_r2(np.concatenate([x, x]), np.concatenate([y, y]))
    assert seen > ridge_r2(np.repeat(x, 2, axis=0), np.repeat(y, 2, axis=0)) + 0.1


def test_one_sparse_channel_does_not_swamp_the_others() -> None:
    """A channel that lives in the first half alone weighs what it varies in the second."""
    x = RNG.normal(size=(20, 64, 5))
    y = np.concatenate([x, np.zeros((20, 64, 1))], axis=2)
    y[0, 0, 5] = 1.0
    assert ridge_r2(x, y) > 0.9


def test_r2_leaves_dead_channels_out() -> None:
    x = RNG.normal(size=(10, 50, 2))
    dead = np.concatenate([x, np.zeros((10, 50, 3))], axis=2)
    assert ridge_r2(dead, dead) == pytest.approx(1, abs=1e-3)
    assert math.isnan(ridge_r2(x, np.zeros((10, 50, 3))))


def test_one_image_is_refused() -> None:
    with pytest.raises(ValueError, match="two images"):
        ridge_r2(np.zeros((1, 5, 2)), np.zeros((1, 5, 2)))


def test_over_a_model(trained: Trained) -> None:
    data = open_dataset(trained.root, "train")
    model = create_model("cimnet_efficientnet_lite0", 3, widths=(16, 16, 20, 32), decoder_channels=16).eval()
    assert isinstance(model, CIMNet)
    found = measure_redundancy(model, data, cells=4)
    assert (found.images, found.samples) == (len(data), 16 * len(data))
    assert 0 <= found.cka <= 1
    assert found.r2 <= 1
    assert 0 <= found.estimate <= min(found.entropy_rgb, found.entropy_thermal) <= math.log(16)
    assert not model.cipa._forward_pre_hooks
    without = create_model(
        "cimnet_efficientnet_lite0", 3, widths=(16, 16, 20, 32), decoder_channels=16, mutual_information=None
    ).eval()
    assert isinstance(without, CIMNet)
    assert math.isnan(measure_redundancy(without, data).estimate)


def test_equal_streams_are_fully_redundant(trained: Trained) -> None:
    """The same encoder fed the same image twice: every probe must say 1."""
    model = create_model("cimnet_efficientnet_lite0", 3, widths=(16, 16, 20, 32), decoder_channels=16).eval()
    assert isinstance(model, CIMNet)
    model.encoder_thermal, model.project_thermal = model.encoder_rgb, model.project_rgb

    def same(rgb: torch.Tensor, thermal: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        ready = CIMNet.prepare(model, rgb, thermal)[0]
        return ready, ready

    model.prepare = same  # type: ignore[method-assign]
    found = measure_redundancy(model, open_dataset(trained.root, "train"), cells=4)
    assert found.cka == pytest.approx(1, abs=1e-6)
    assert found.r2 > 0.95


def test_too_few_images_are_named(trained: Trained) -> None:
    data = open_dataset(trained.root, "train")
    data.pairs, data.ids = data.pairs[:1], data.ids[:1]
    model = create_model("cimnet_efficientnet_lite0", 3, widths=(16, 16, 20, 32), decoder_channels=16)
    assert isinstance(model, CIMNet)
    with pytest.raises(DataError, match="two images"):
        measure_redundancy(model, data)
