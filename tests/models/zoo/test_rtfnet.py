"""RTFNet: behaviour, the original's numbers, and what is easy to get wrong."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from cimnet.errors import ConfigError
from cimnet.models import create_model
from cimnet.models.zoo.rtfnet import PUBLICATIONS, RTFNet

from ..tester import images
from . import rtfnet_by_hand, vectors
from .tester import ParityTester, WeightsTester, ZooTester, assert_extract, pair_of


class TestRTFNet(ZooTester):
    network = "rtfnet_resnet18"


class TestRTFNet18Parity(ParityTester):
    network, original, parameters = "rtfnet_resnet18", "rtfnet-18", 30_995_525

    @pytest.mark.parametrize("case", ["64x96", "70x90", "33x64", "1x1"])
    @torch.no_grad()
    def test_any_size_is_taken_as_it_is(self, case: str) -> None:
        """The pass written by hand has the original's numbers; at other sizes its logits are larger and cropped."""
        model = self.filled(case)
        rgb, thermal = pair_of(case)
        whole = rtfnet_by_hand.run(model.official_state(), rgb, thermal, rtfnet_by_hand.add)
        height, width = rgb.shape[-2:]
        assert whole.shape[-2:] == (-(-height // 32) * 32, -(-width // 32) * 32)
        torch.testing.assert_close(model(rgb, thermal).logits, whole[:, :, :height, :width], rtol=1e-10, atol=1e-10)
        if case in self.cases:
            assert_extract(whole, vectors.read(self.original), f"{case}/logits")

    @torch.no_grad()
    def test_a_scaled_image_is_not_padded_either(self) -> None:
        """Its logits are cropped to what the network saw, then resized."""
        model = self.filled("64x96")
        rgb, thermal = pair_of("140x180")
        model.input_scale = 0.5
        try:
            found = model(rgb, thermal).logits
        finally:
            model.input_scale = 1.0
        inside = [F.interpolate(x, size=(70, 90), mode="bilinear", antialias=True) for x in (rgb, thermal)]
        expected = F.interpolate(model(*inside).logits, size=(140, 180), mode="bilinear")
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


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
