"""Narrow versions of published networks, for comparisons at equal budgets."""

from __future__ import annotations

import pytest
import torch

from cimnet.models import create_model, list_models
from cimnet.models.zoo import PUBLICATIONS

SMALL = ("small_cmnext_mit_b0", "small_cmx_mit_b0", "small_eaefnet_resnet18", "small_sigma")
MOST = 31_000_000
"""Parameters of RTFNet-18, the largest of the published networks that they are compared with."""


def test_they_are_listed_and_nobody_takes_them_for_published_ones() -> None:
    assert sorted(list_models("small_*")) == list(SMALL)
    assert not any(name.startswith("small_") for name in PUBLICATIONS)


@pytest.mark.parametrize("name", SMALL)
def test_a_recipe_can_name_them(name: str) -> None:
    """With the arguments that every recipe gives."""
    model = create_model(name, 4, pretrained=False, input_scale=0.5).eval()
    assert sum(p.numel() for p in model.parameters()) < MOST
    assert model(torch.rand(1, 3, 64, 64), torch.rand(1, 1, 64, 64)).logits.shape == (1, 4, 64, 64)
