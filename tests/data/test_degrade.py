"""Training on corrupted pairs: how often, which, and what is never done."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cimnet.data import Batch, RGBTSample, collate
from cimnet.data.degrade import SENSOR_DEFECTS, Degrade, with_missing


def _sample(name: str = "a", black: bool = False) -> RGBTSample:
    rgb, thermal, label = torch.rand(3, 24, 32), torch.rand(1, 24, 32), torch.zeros(24, 32, dtype=torch.int64)
    label[8:14, 10:18] = 1
    return RGBTSample(rgb * (not black), thermal, label, name)


def _batch(count: int = 4, offset: Tensor | None = None, black: int = -1) -> Batch:
    batch = collate([_sample(str(k), k == black) for k in range(count)])
    return batch._replace(offset=offset)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_nothing_is_done_by_default() -> None:
    sample = _sample()
    assert Degrade()(sample) is sample
    assert with_missing(_batch(), 0.0).ids == list("0123")


def test_pairs_are_displaced_at_the_rate_and_reach_asked_for() -> None:
    degrade = Degrade(misalignment=5, misalignment_prob=0.5, moving=frozenset({1}))
    sample = _sample()
    results = [degrade(sample) for _ in range(200)]
    displaced = [r for r in results if r.offset is not None]
    assert 70 < len(displaced) < 130
    lengths = torch.stack([r.offset.norm(dim=0).max() for r in displaced if r.offset is not None])
    assert 4 < lengths.max() <= 3 * 5 * 2**0.5  # the fourth corner of an affine map goes up to three times as far
    still = [r for r in displaced if r.offset is not None and not r.offset[:, 0, 0].any()]
    assert 0.3 < len(still) / len(displaced) < 0.7  # in these only what moves is displaced
    for r in results:
        assert torch.equal(r.rgb, sample.rgb)
        assert r.label is sample.label


def test_a_pair_without_rgb_is_not_displaced() -> None:
    degrade = Degrade(misalignment=5, misalignment_prob=1.0)
    assert degrade(_sample(black=True)).offset is None
    assert degrade(_sample()).offset is not None


def test_only_the_named_defects_are_drawn() -> None:
    sample = _sample()
    degrade = Degrade(corruption_prob=1.0, corruptions=("fog", "jpeg"))
    results = [degrade(sample) for _ in range(20)]
    assert all(torch.equal(r.thermal, sample.thermal) for r in results)
    assert not any(torch.equal(r.rgb, sample.rgb) for r in results)
    torch.manual_seed(0)
    assert any(not torch.equal(Degrade(corruption_prob=1.0)(sample).thermal, sample.thermal) for _ in range(20))


def test_defects_corrupt_one_sensor() -> None:
    assert not {"translation", "rgb_dropped", "thermal_dropped"} & set(SENSOR_DEFECTS)
    assert {"fog", "thermal_blur"} <= set(SENSOR_DEFECTS)
    sample = _sample()
    for _ in range(40):
        corrupted = Degrade(corruption_prob=1.0)(sample)
        assert (corrupted.rgb is sample.rgb) != (corrupted.thermal is sample.thermal)
        assert corrupted.rgb.shape == sample.rgb.shape
    kept = sum(Degrade(corruption_prob=0.3)(sample) is sample for _ in range(200))
    assert 110 < kept < 170


def test_copies_with_one_image_missing_are_added() -> None:
    batch = _batch()
    counts = []
    for _ in range(60):
        more = with_missing(batch, 0.6)
        counts.append(len(more.ids) - 4)
        assert torch.equal(more.rgb[:4], batch.rgb)
        assert torch.equal(more.thermal[:4], batch.thermal)
        assert more.label is not None
        for k in range(4, len(more.ids)):
            source = int(more.ids[k])
            no_rgb, no_thermal = not more.rgb[k].any(), not more.thermal[k].any()
            assert no_rgb != no_thermal
            assert no_rgb or torch.equal(more.rgb[k], batch.rgb[source])
            assert no_thermal or torch.equal(more.thermal[k], batch.thermal[source])
            assert torch.equal(more.label[k], batch.label[source])
        assert len(set(more.ids[4:])) == len(more.ids) - 4
        assert len(more.flags) == len(more.scenes) == len(more.ids) == len(more.rgb)
    assert set(counts) == {2, 3}
    assert 2.2 < sum(counts) / len(counts) < 2.6


def test_displaced_pairs_lose_the_thermal_image_and_the_others_rgb() -> None:
    offset = torch.zeros(4, 2, 24, 32)
    offset[2:] = 3.0
    more = with_missing(_batch(offset=offset), 1.0)
    for k in range(4, 8):
        assert bool(more.rgb[k].any()) == (int(more.ids[k]) >= 2)
        assert bool(more.thermal[k].any()) == (int(more.ids[k]) < 2)


def test_no_pair_loses_both_images() -> None:
    for _ in range(20):
        more = with_missing(_batch(black=1), 1.0)
        assert all(more.thermal[k].any() for k in range(4, 8) if more.ids[k] == "1")
