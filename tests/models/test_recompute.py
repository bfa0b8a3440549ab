"""What gradient checkpointing computes twice."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from cimnet.models import create_model
from cimnet.models.recompute import Checkpointing, recompute

from .tester import SMALL, images


class Count(TorchDispatchMode):
    """How often operators run."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self.calls[name] = self.calls.get(name, 0) + 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("how", "convolutions", "norms"), [(False, False, False), (True, True, True), ("light", False, True)]
)
def test_light_computes_no_product_twice(how: Checkpointing, convolutions: bool, norms: bool) -> None:
    model = create_model("cimnet_test_resnet", 4, **SMALL).train()
    model.checkpointing = how
    loss = model(*images(2, (64, 64))).logits.square().mean()
    with Count() as backward:
        loss.backward()
    assert backward.calls["convolution_backward"] > 10
    assert ("convolution" in backward.calls) is convolutions
    assert ("addmm" in backward.calls) is convolutions  # the linear layers of SCSFR and FFM
    assert ("native_batch_norm" in backward.calls) is norms


def test_encoders_that_change_products_in_place() -> None:
    """Squeeze-and-excitation of timm has an activation in place directly behind a convolution."""
    model = create_model("cimnet_mobilenetv3_small_050", 4, pretrained=False, **SMALL).train()
    plain, light = copy.deepcopy(model), copy.deepcopy(model)
    light.checkpointing = "light"
    pair = images(2, (64, 64))
    gradients = []
    for one in (plain, light):
        torch.manual_seed(0)
        one(*pair).logits.square().mean().backward()
        gradients.append({name: p.grad for name, p in one.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=lambda text, name=name: f"{name}: {text}")


class ChangesItsProduct(nn.Module):
    """What no setting of a module can switch off."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu_(self.conv(x)).square()


def test_a_product_that_is_changed_in_place_is_refused() -> None:
    """There is no wrong gradient."""
    with pytest.raises(RuntimeError, match="mutated"):
        recompute("light", ChangesItsProduct(), torch.rand(1, 3, 8, 8)).sum().backward()
