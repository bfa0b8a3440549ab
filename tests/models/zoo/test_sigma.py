"""Sigma: the original's numbers, and what its specification warns of."""

from __future__ import annotations

from typing import Any

import pytest

from cimnet.models import RGBTModel
from cimnet.models.zoo.sigma import Sigma

from ..tester import CLASSES
from .tester import ParityTester, ZooTester

NARROW: dict[str, Any] = {"width": 8, "depths": (1, 1, 2, 1)}


class TestNarrowSigma(ZooTester):
    network = "sigma_tiny"

    def build(self, **options: Any) -> RGBTModel:
        return Sigma(CLASSES, **NARROW, **options)


@pytest.mark.slow
class TestSigmaTiny(ZooTester):
    network = "sigma_tiny"


class TestParityTiny(ParityTester):
    network, original, parameters = "sigma_tiny", "sigma-tiny", 48_287_360
    cases = ("64x96", "64x96-strong", "74x110", "96x160")


@pytest.mark.slow
class TestParitySmall(ParityTester):
    network, original, parameters = "sigma_small", "sigma-small", 69_811_328
    cases = ("64x96", "64x96-strong", "96x160")


@pytest.mark.slow
class TestParityBase(ParityTester):
    network, original, parameters = "sigma_base", "sigma-base", 121_414_820
    cases = ("64x96", "64x96-strong", "96x160")
