"""Shared by the tests of the models: fixed seed and one thread, so that figures and times repeat."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from tests.conftest import one_thread


@pytest.fixture(autouse=True)
def _repeatable() -> Iterator[None]:
    torch.manual_seed(0)
    with one_thread():
        yield
