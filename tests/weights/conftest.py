"""What the tests of official weights share: two small networks that count as published, and their weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import cimnet
from cimnet.models.zoo import PUBLICATIONS
from cimnet.models.zoo.network import ZooNetwork

NAME, OTHER = "small_cmx_mit_b0", "small_cmnext_mit_b0"
State = dict[str, Tensor]


@pytest.fixture
def small_networks_are_published(monkeypatch: pytest.MonkeyPatch) -> None:
    # of the two alone, so that what a file looks like is found sooner
    known = {NAME: PUBLICATIONS["cmx_mit_b2"], OTHER: PUBLICATIONS["cmnext_mit_b2"]}
    monkeypatch.setattr("cimnet.weights.official.PUBLICATIONS", known)


@pytest.fixture(scope="module")
def model() -> ZooNetwork:
    torch.manual_seed(3)
    built = cimnet.create_model(NAME, 9)
    assert isinstance(built, ZooNetwork)
    return built.eval()


@pytest.fixture
def state(model: ZooNetwork) -> State:
    return {name: value.clone() for name, value in model.official_state().items()}


def same_weights(found: torch.nn.Module, model: ZooNetwork) -> None:
    """The weights are equal, bit by bit."""
    for name, value in model.state_dict().items():
        assert torch.equal(found.state_dict()[name], value), name
