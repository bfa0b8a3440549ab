"""RTFNet: behaviour, the original's numbers, and what is easy to get wrong."""

from __future__ import annotations

import pytest
import torch

from cimnet.errors import ConfigError
from cimnet.models import create_model
from cimnet.models.zoo.rtfnet import PUBLICATIONS, RTFNet

from ..tester import images
from .tester import ParityTester, WeightsTester, ZooTester


class TestRTFNet(ZooTester):
    network = "rtfnet_resnet18"


class TestRTFNet18Parity(ParityTester):
    network, original, parameters = "rtfnet_resnet18", "rtfnet-18", 30_995_525


@pytest.mark.slow
class TestRTFNet50Parity(ParityTester):
    network, original, parameters = "rtfnet_resnet50", "rtfnet-50", 185_238_501


@pytest.mark.slow
class TestRTFNet152Parity(ParityTester):
    network, original, parameters = "rtfnet_resnet152", "rtfnet-152", 254_510_053


class TestRTFNet34Weights(WeightsTester):
    network, original, parameters = "rtfnet_resnet34", "rtfnet-34", 51_211_845


class TestRTFNet101Weights(WeightsTester):
    network, original, parameters = "rtfnet_resnet101", "rtfnet-101", 223_222_757


def test_logits_are_rectified() -> None:
    logits = RTFNet(4, 18).eval()(*images(1, (64, 64))).logits
    assert logits.min() == 0
    assert logits.max() > 0


def test_thermal_reaches_rgb_but_not_the_other_way() -> None:
    model = RTFNet(4, 18).eval()
    rgb, thermal = torch.rand(2, 1, 8, 4, 4)
    fused, goes_on = model.fuse(1, rgb, thermal)
    torch.testing.assert_close(fused, rgb + thermal)
    torch.testing.assert_close(goes_on, thermal, rtol=0, atol=0)


@pytest.mark.parametrize(
    "option", [{"widths": (8, 16, 20, 32)}, {"decoder_channels": 16}, {"msm": True}, {"depth": 18}]
)
def test_options_of_other_models_are_refused(option: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(option))), torch.device("meta"):
        create_model("rtfnet_resnet18", 4, **option)


def test_weights_for_bgr_see_the_channels_turned() -> None:
    model, turned = RTFNet(4, 18).eval(), RTFNet(4, 18, channel_order="bgr").eval()
    turned.load_state_dict(model.state_dict())
    rgb, thermal = images(1, (32, 64))
    torch.testing.assert_close(turned(rgb.flip(1), thermal).logits, model(rgb, thermal).logits)
    assert not torch.allclose(turned(rgb, thermal).logits, model(rgb, thermal).logits)


def test_every_variant_has_its_facts() -> None:
    assert [name for name, facts in PUBLICATIONS.items() if facts.checkpoint] == ["rtfnet_resnet50", "rtfnet_resnet152"]
    assert PUBLICATIONS["rtfnet_resnet152"].scores["mfnet"].miou == 53.2
