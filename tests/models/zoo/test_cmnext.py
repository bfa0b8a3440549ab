"""CMNeXt: behaviour, and the original's numbers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from cimnet.models import create_model
from cimnet.models.zoo.cmnext import _average

from .tester import ParityTester, ZooTester

CASES = ("64x96", "96x160", "70x90")


class TestSmallCMNeXt(ZooTester):
    network = "small_cmnext_mit_b0"
    rounding = 1e-4  # its logits are large


@pytest.mark.slow
class TestCMNeXtB2(ZooTester):
    network = "cmnext_mit_b2"
    rounding = 1e-4


class TestParityB2(ParityTester):
    network, original, parameters, cases = "cmnext_mit_b2", "cmnext-b2", 58_686_017, CASES


@pytest.mark.slow
class TestParityB4(ParityTester):
    network, original, parameters, cases = "cmnext_mit_b4", "cmnext-b4", 116_560_396, CASES


@pytest.mark.slow
class TestParityB5(ParityTester):
    network, original, parameters, cases = "cmnext_mit_b5", "cmnext-b5", 148_971_437, CASES


@pytest.mark.parametrize("side", [3, 7, 11])
def test_averages_leave_the_padding_out(side: int) -> None:
    x = torch.rand(2, 3, 5, 9, dtype=torch.float64)
    plain = F.avg_pool2d(x, side, 1, side // 2, count_include_pad=False)
    torch.testing.assert_close(_average(x, side), plain)


def test_thermal_images_are_not_scaled() -> None:
    model = create_model("small_cmnext_mit_b0", 3)
    rgb, thermal = torch.rand(1, 3, 32, 32), torch.rand(1, 1, 32, 32)
    assert torch.equal(model.network_input(rgb, thermal)[1], thermal.expand(-1, 3, -1, -1))
