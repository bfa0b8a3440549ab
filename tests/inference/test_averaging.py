"""Mirrored and scaled views, batches, lower precision, a missing image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import cimnet
from cimnet.errors import CheckpointError, DataError
from cimnet.inference import Predictor
from tests.conftest import Trained

RGB, THERMAL = torch.rand(3, 64, 96), torch.rand(1, 64, 96)


def test_mirrored_views_are_averaged_as_probabilities(trained: Trained) -> None:
    plain = cimnet.load(trained.folder, "cpu")
    straight = plain.predict_proba(RGB, THERMAL)
    mirrored = plain.predict_proba(RGB.flip(-1), THERMAL.flip(-1))[..., ::-1]
    assert np.abs(straight - mirrored).max() > 1e-4
    both = cimnet.load(trained.folder, "cpu", flip=True)
    np.testing.assert_allclose(both.predict_proba(RGB, THERMAL), (straight + mirrored) / 2, atol=1e-6)
    np.testing.assert_array_equal(both.predict(RGB, THERMAL), ((straight + mirrored) / 2).argmax(0))


def test_scales_are_averaged_as_probabilities(trained: Trained) -> None:
    plain = cimnet.load(trained.folder, "cpu")
    larger = [F.interpolate(x[None], size=(96, 144), mode="bilinear", align_corners=False)[0] for x in (RGB, THERMAL)]
    found = torch.from_numpy(plain.predict_proba(*larger))[None]
    found = F.interpolate(found, size=(64, 96), mode="bilinear", align_corners=False, antialias=True)[0].numpy()
    both = cimnet.load(trained.folder, "cpu", scales=[1.0, 1.5]).predict_proba(RGB, THERMAL)
    np.testing.assert_allclose(both, (plain.predict_proba(RGB, THERMAL) + found) / 2, atol=1e-5)


def test_batches_of_several_sizes_come_back_in_order(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = cimnet.load(trained.folder, "cpu", batch_size=2)
    pairs = [(torch.rand(3, 32, w), torch.rand(1, 32, w)) for w in (64, 64, 64, 32, 64)]
    passes: list[tuple[int, ...]] = []
    segment = predictor.segment
    monkeypatch.setattr(predictor, "segment", lambda *images: (passes.append(images[0].shape), segment(*images))[1])
    masks = predictor.predict_batch(pairs)
    assert [shape[0] for shape in passes] == [2, 1, 1, 1]
    for mask, pair in zip(masks, pairs, strict=True):
        np.testing.assert_array_equal(mask, cimnet.load(trained.folder, "cpu").predict(*pair))
    assert predictor.predict_batch([]) == []


def test_bfloat16_changes_few_pixels(trained: Trained) -> None:
    exact = cimnet.load(trained.folder, "cpu").predict(RGB, THERMAL)
    rough = cimnet.load(trained.folder, "cpu", precision="bfloat16")
    seen: list[torch.dtype] = []
    rough.network.decoder.register_forward_hook(lambda *call: seen.append(call[2].dtype))  # type: ignore[operator, union-attr]
    assert (rough.predict(RGB, THERMAL) == exact).mean() > 0.97
    assert seen == [torch.bfloat16]


@pytest.mark.parametrize("settings", [{}, {"flip": True}, {"window": 32}])
def test_values_that_overflow_are_no_class(trained: Trained, settings: dict[str, Any]) -> None:
    """Before, each pixel of NaN got class 0."""

    def load(precision: str, factor: float) -> Predictor:
        predictor = cimnet.load(trained.folder, "cpu", precision=precision, **settings)
        with torch.no_grad():
            for module in predictor.network.decoder.modules():
                if isinstance(module, torch.nn.Conv2d):
                    module.weight *= factor
        return predictor

    assert load("bfloat16", 1e4).predict(RGB, THERMAL).shape == (64, 96)
    cases = (("float16", 1e7, "precision float16: values overflow .* bfloat16"), ("float32", np.nan, "not finite"))
    for precision, factor, says in cases:
        for call in (load(precision, factor).predict, load(precision, factor).predict_proba):
            with pytest.raises(CheckpointError, match=says):
                call(RGB, THERMAL)


def test_one_image_may_be_missing(trained: Trained) -> None:
    predictor = cimnet.load(trained.folder, "cpu")
    np.testing.assert_array_equal(predictor.predict(RGB, None), predictor.predict(RGB, torch.zeros(1, 64, 96)))
    np.testing.assert_array_equal(predictor.predict(None, THERMAL), predictor.predict(torch.zeros(3, 64, 96), THERMAL))
    with pytest.raises(DataError, match="both missing"):
        predictor.predict(None, None)
