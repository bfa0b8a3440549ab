"""Models that are built without values."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm.layers
import torch
from torch import nn

from cimnet.models.outline import SkipInit


@pytest.mark.timeout(60)
@pytest.mark.parametrize("fill", [nn.init.trunc_normal_, timm.layers.trunc_normal_])
def test_skipping_ends_whatever_memory_held(fill: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> None:
    """torch draws a truncated normal until all numbers lie within bounds. Where nothing is drawn, what memory held
    before must not decide whether that ends."""
    monkeypatch.setattr(torch, "empty_like", lambda x, **_: torch.full_like(x, 1e9))
    weight = nn.Parameter(torch.full((4, 4), 1e9))
    with SkipInit():
        fill(weight, std=0.02)
    assert weight.abs().max() <= 2


def test_random_numbers_are_not_drawn() -> None:
    torch.manual_seed(0)
    with SkipInit():
        nn.init.kaiming_normal_(nn.Linear(4, 4).weight)
        nn.init.normal_(nn.Parameter(torch.empty(3)))
    skipped = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(skipped, torch.rand(1))
