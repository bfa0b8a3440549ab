"""FEANet: behaviour, the original's numbers, and the two stages that differ from the others."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from cimnet.models import RGBTModel
from cimnet.models.zoo.feanet import FEANet

from ..tester import CLASSES, images
from . import rtfnet_by_hand
from .tester import ParityTester, WeightsTester, ZooTester


class TestFEANet(ZooTester):
    """With ResNet-18, which the original does not know, because it is quick."""

    def build(self, **options: Any) -> RGBTModel:
        return FEANet(CLASSES, 18, **options)


@pytest.mark.slow
class TestFEANet50(ZooTester):
    network = "feanet_resnet50"


class FEANetParity(ParityTester):
    rule = "small_residuals"


@pytest.mark.slow
class TestFEANet50Parity(FEANetParity):
    network, original, parameters = "feanet_resnet50", "feanet-50", 185_935_578


@pytest.mark.slow
class TestFEANet152Parity(FEANetParity):
    network, original, parameters = "feanet_resnet152", "feanet-152", 255_207_130


class TestFEANet101Weights(WeightsTester):
    network, original, parameters = "feanet_resnet101", "feanet-101", 223_919_834


@pytest.fixture(scope="module")
def small() -> FEANet:
    """With weights of the smallest trunk: the fusions are the same."""
    torch.manual_seed(0)
    return FEANet(4, 18).eval()


@pytest.mark.parametrize("stage", range(5))
def test_fusion(small: FEANet, stage: int) -> None:
    """Channel attention, then spatial attention of its result; stages 1 and 3 are the original's exceptions."""
    r, t = torch.randn(2, 1, small.encoder_rgb.channels[stage], 8, 12)
    channel, spatial = small.channel_attention[stage], small.spatial_attention[stage]

    def attended(x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = (channel.fc1.weight[:, :, 0, 0] @ x.amax((0, 2, 3))).relu()
        y = x * torch.sigmoid(channel.fc2.weight[:, :, 0, 0] @ hidden)[:, None, None]
        strongest = y.max(1, keepdim=True).values
        return y, torch.sigmoid(torch.nn.functional.conv2d(strongest, spatial.conv1.weight, padding=3))

    (r1, r_map), (t1, t_map) = attended(r), attended(t)
    fused, goes_on = small.fuse(stage, r, t)
    torch.testing.assert_close(fused, r1 * r_map + (t if stage == 3 else t1) * t_map)
    torch.testing.assert_close(goes_on, t1 if stage == 1 else t)


@pytest.mark.parametrize("size", [(64, 96), (70, 90), (33, 64)])
@torch.no_grad()
def test_any_size_is_taken_as_it_is(small: FEANet, size: tuple[int, int]) -> None:
    """The pass written by hand does not pad. Its logits are cropped where they are larger than the image."""
    rgb, thermal = images(2, size)
    for norm in (m for m in small.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        assert norm.running_var is not None
        norm.running_var.uniform_(0.5, 1.5)
    whole = rtfnet_by_hand.run(small.official_state(), rgb, thermal, rtfnet_by_hand.attend)
    torch.testing.assert_close(small(rgb, thermal).logits, whole[:, :, : size[0], : size[1]], rtol=1e-4, atol=1e-5)


def test_one_attention_serves_both_streams(small: FEANet) -> None:
    """So both streams weigh equal maps equally."""
    x = torch.randn(1, 64, 8, 12)
    fused, _ = small.fuse(0, x, x)
    rgb_alone, _ = small.fuse(0, x, torch.zeros_like(x))
    torch.testing.assert_close(fused, 2 * rgb_alone)
