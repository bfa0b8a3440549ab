"""CMX: behaviour, and the original's numbers."""

from __future__ import annotations

import pytest
import torch

from cimnet.models import create_model
from cimnet.models.zoo.cmx import CMX

from .tester import ParityTester, ZooTester

CASES = ("64x96", "96x160", "70x90")


class TestSmallCMX(ZooTester):
    network = "small_cmx_mit_b0"


@pytest.mark.slow
class TestCMXB2(ZooTester):
    network = "cmx_mit_b2"


class TestParityB2(ParityTester):
    network, original, parameters, cases = "cmx_mit_b2", "cmx-b2", 66_565_521, CASES


@pytest.mark.slow
class TestParityB4(ParityTester):
    network, original, parameters, cases = "cmx_mit_b4", "cmx-b4", 139_858_321, CASES


@pytest.mark.slow
class TestParityB5(ParityTester):
    network, original, parameters, cases = "cmx_mit_b5", "cmx-b5", 181_058_961, CASES


def test_sizes_from_29_on_are_taken_as_they_are() -> None:
    model = create_model("small_cmx_mit_b0", 3).eval()
    for size, taken in (((29, 31), (29, 31)), ((70, 90), (70, 90)), ((28, 40), (29, 40))):
        pair = torch.rand(1, 3, *size), torch.rand(1, 1, *size)
        assert model.network_input(*pair)[0].shape[-2:] == taken
        assert model(*pair).logits.shape == (1, 3, *size)


def test_blue_green_red_turns_the_image_and_not_the_statistics() -> None:
    """Channel 0 of the network's input is normalised by the statistics of position 0, whichever colour it is."""
    torch.manual_seed(0)
    model = create_model("small_cmx_mit_b0", 3).eval()
    turned = create_model("small_cmx_mit_b0", 3, channel_order="bgr").eval()
    turned.load_state_dict({**model.state_dict(), "rgb_mean": turned.rgb_mean, "rgb_std": turned.rgb_std})
    rgb, thermal = torch.rand(1, 3, 64, 64), torch.rand(1, 1, 64, 64)
    torch.testing.assert_close(turned(rgb.flip(1), thermal).logits, model(rgb, thermal).logits)


def test_drop_paths_of_stage_2() -> None:
    """The slip of the original: one rate for all blocks, 0.02 and 0.0267 at B2."""
    model = create_model("cmx_mit_b2", 9)
    assert isinstance(model, CMX)
    for encoder, rate in ((model.encoder_rgb, 0.3 / 15), (model.encoder_thermal, 0.4 / 15)):
        assert [block.drop_path.drop_prob for block in encoder.stages[1].blocks] == pytest.approx([rate] * 4)
        assert encoder.stages[3].blocks[2].drop_path.drop_prob == pytest.approx(0.1)


def test_the_head_can_have_the_eps_of_training() -> None:
    assert create_model("small_cmx_mit_b0", 3, head_eps=1e-3).decoder.mix[1].eps == 1e-3
