"""Tiny models on one thread, a tiny data set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import one_thread
from tests.fakes.layouts import make_folder


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "data", 12)
