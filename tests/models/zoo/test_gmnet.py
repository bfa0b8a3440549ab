"""GMNet: the original's numbers, its three heads, and what the specification warns of."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from cimnet.errors import ConfigError
from cimnet.models import RGBTModel, create_model
from cimnet.models.zoo.gmnet import GMNet, MultiscaleContext, _last_of_dense

from ..tester import CLASSES, images
from . import vectors
from .tester import ParityTester, ZooTester, assert_extract, pair_of


class TestGMNetResNet18(ZooTester):
    """Of no published depth: for speed."""

    def build(self, **options: Any) -> RGBTModel:
        return GMNet(CLASSES, depth=18, **options)

    def test_auxiliary_heads_in_training(self, model: RGBTModel) -> None:
        pair = images(2, (33, 47))
        assert model(*pair).auxiliary == ()
        heads = model.train()(*pair).auxiliary
        assert [(tuple(head.logits.shape), *head[1:]) for head in heads] == [
            ((2, 2, 33, 47), 1.0, "foreground", (1.5121, 10.2388)),
            ((2, 2, 33, 47), 1.0, "boundary", (1.4459, 23.7228)),
        ]

    def test_auxiliary_heads_are_not_run_in_evaluation(self, model: RGBTModel) -> None:
        for name in ("detail1", "detail2", "decoder_foreground", "refine_foreground", "refine_boundary"):
            setattr(model, name, nn.Identity())  # takes one map, where the two of details would be given
        assert model(*images(1, (64, 64))).logits.isfinite().all()


@pytest.mark.slow
class TestGMNetResNet50(ZooTester):
    network = "gmnet_resnet50"


class TestParity(ParityTester):
    network = "gmnet_resnet50"
    original = "gmnet"
    parameters = 153_472_410

    @torch.no_grad()
    def test_logits(self) -> None:
        """Of the auxiliary heads, too."""
        super().test_logits()
        expected = vectors.read(self.original)
        model = self.filled("64x96")
        assert isinstance(model, GMNet)
        heads = model.all_heads(*pair_of("64x96")).auxiliary
        for name, head in zip(("binary", "boundary"), heads, strict=True):
            assert_extract(head.logits, expected, f"64x96/{name}")

    test_logits_in_float32 = ParityTester.test_logits_in_float32  # behind the others, as it rounds the weights


def test_used_parameters() -> None:
    with torch.device("meta"):
        model = GMNet(9)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 153_014_338


def test_dense_units_see_the_input_last() -> None:
    seen: list[list[float]] = []

    class Unit(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x.ravel().tolist())
            return x.new_full((1, 1, 1, 1), float(len(seen)))

    result = _last_of_dense(nn.ModuleList([Unit(), Unit(), Unit()]), torch.full((1, 1, 1, 1), 9.0))
    assert seen == [[9.0], [1.0, 9.0], [1.0, 2.0, 9.0]]
    assert result.item() == 3.0


def test_the_units_of_context_are_linear() -> None:
    """They have no activation: at zero biases and statistics they double what is doubled."""
    units = MultiscaleContext().eval().units
    x = torch.randn(1, 16, 16, 16)
    torch.testing.assert_close(units[0](2 * x), 2 * units[0](x))
    torch.testing.assert_close(units[0](-x), -units[0](x))


@pytest.mark.parametrize("option", [{"widths": (8, 16, 20, 32)}, {"depth": 18}], ids=str)
def test_options_that_the_published_network_does_not_have(option: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(option))):
        create_model("gmnet_resnet50", 4, **option)
