"""What the sliders do to a pair, and the page's own pairs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cimnet.deploy.app.example_pairs import EXAMPLES, example
from cimnet.deploy.app.uploaded_pair import Knobs, Pair, degrade, move
from cimnet.errors import ConfigError, DataError
from cimnet.inference import load
from tests.conftest import Trained


def _spot(y: int, x: int) -> torch.Tensor:
    image = torch.zeros(1, 41, 61)
    image[0, y, x] = 1
    return image


@pytest.mark.parametrize(
    ("right", "down", "turn", "place"),
    [(5, 0, 0, (20, 45)), (0, -3, 0, (17, 40)), (0, 0, 90, (30, 30)), (2, 1, 90, (31, 32))],
)
def test_the_image_turns_clockwise_and_then_moves_right_and_down(
    right: float, down: float, turn: float, place: tuple[int, int]
) -> None:
    moved = move(_spot(20, 40), right, down, turn)
    torch.testing.assert_close(moved, _spot(*place), atol=1e-4, rtol=0)


def test_what_comes_into_view_repeats_the_border() -> None:
    image = torch.arange(40.0).div(40).expand(1, 36, 40)
    moved = move(image, 7, 0, 0)
    torch.testing.assert_close(moved[..., 7:], image[..., :-7], atol=1e-5, rtol=0)
    assert (moved[..., :7] == image[..., :1]).all()


def test_knobs_at_rest_change_nothing_and_each_degrades_its_own_image() -> None:
    rgb, thermal = torch.rand(3, 40, 48), torch.rand(1, 40, 48)
    same = degrade(rgb, thermal, Knobs())
    assert torch.equal(same[0], rgb)
    assert torch.equal(same[1], thermal)
    for knobs in (Knobs(right=3), Knobs(down=2), Knobs(turn=4), Knobs(blur=2)):
        seen = degrade(rgb, thermal, knobs)
        assert torch.equal(seen[0], rgb)
        assert (seen[1] - thermal).abs().mean() > 0.02
    seen = degrade(rgb, thermal, Knobs(darken=3))
    assert torch.equal(seen[1], thermal)
    assert seen[0].mean() < 0.6 * rgb.mean()
    assert degrade(rgb, thermal, Knobs(blur=4))[1].std() < degrade(rgb, thermal, Knobs(blur=1))[1].std()


def test_an_image_that_is_missing_stays_missing_in_the_dark() -> None:
    rgb, _ = degrade(torch.zeros(3, 40, 48), torch.rand(1, 40, 48), Knobs(darken=5))
    assert not rgb.any()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e9, -41.0])
def test_a_knob_out_of_range_is_refused(value: float) -> None:
    with pytest.raises(ConfigError, match=r"right is .*, expected a number from -40 to 40"):
        Knobs(right=value)


def test_examples_are_pairs_of_one_size_with_the_defect_that_they_name() -> None:
    pairs = {name: example(name) for name in EXAMPLES}
    for pair in pairs.values():
        assert pair.rgb is not None
        assert pair.thermal is not None
        assert pair.rgb.dtype == np.uint8
        assert pair.rgb.shape == (*pair.thermal.shape, 3) == (256, 320, 3)
        assert pair.thermal.dtype == np.float32
        assert 0 <= pair.thermal.min() < pair.thermal.max() <= 1
        assert pair.example
    light = {name: pair.rgb.mean() for name, pair in pairs.items() if pair.rgb is not None}
    spread = {name: pair.rgb.std() for name, pair in pairs.items() if pair.rgb is not None}
    assert light["RGB broken"] == 0
    assert light["Night"] < 0.6 * light["Day"]
    assert spread["Fog"] < 0.4 * spread["Day"]


def test_sizes_that_differ_are_told_and_mended_on_request(trained: Trained) -> None:
    predictor = load(trained.best, "cpu")
    rgb = np.zeros((40, 64, 3), np.uint8)
    thermal = np.linspace(0, 1, 20 * 32, dtype=np.float32).reshape(20, 32)
    with pytest.raises(DataError, match=r"64×40 pixels, the thermal image 32×20.*Resize thermal to RGB"):
        Pair(rgb, thermal).tensors(predictor)
    seen = Pair(rgb, thermal).tensors(predictor, resize=True)
    assert seen[0].shape == (3, 40, 64)
    assert seen[1].shape == (1, 40, 64)
    assert abs(float(seen[1].mean()) - 0.5) < 0.01
    assert float(seen[1][0, 0, 0]) < 0.01
    assert float(seen[1][0, -1, -1]) > 0.99


def test_a_missing_image_is_black_and_named(trained: Trained) -> None:
    predictor = load(trained.best, "cpu")
    pair = Pair(rgb=np.full((40, 64, 3), 9, np.uint8))
    assert pair.missing == "thermal"
    assert not pair.tensors(predictor)[1].any()
    assert Pair(thermal=np.ones((40, 64), np.float32)).missing == "RGB"
    assert Pair().missing is None
    with pytest.raises(DataError, match="both missing"):
        Pair().tensors(predictor)
