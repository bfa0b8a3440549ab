"""What the base class does, once for a model of one stream and once for one of two."""

from __future__ import annotations

from .tester import BaseTester


class TestOneStream(BaseTester):
    family = "early_fusion"
    encoder = "efficientnet_lite0"


class TestTwoStreams(BaseTester):
    family = "cimnet"
    encoder = "resnet10t"
