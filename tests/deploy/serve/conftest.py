"""A tiny trained model to put behind the end point."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import cimnet
from cimnet.inference import Predictor
from tests.conftest import Trained, one_thread


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="session")
def predictor(trained: Trained) -> Predictor:
    return cimnet.load(trained.best, "cpu", batch_size=4)


@pytest.fixture
def gated(predictor: Predictor) -> Predictor:
    """Its ``model`` is a `Gate`, shut."""
    from tests.deploy.serve.helpers import Gate

    return Predictor(Gate(predictor.model), predictor.info, predictor.device, predictor.settings)
