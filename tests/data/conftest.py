"""Copies of synthetic data sets: each is made once in a session."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.known import Fake

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Fake], Path]:
    """A function that copies a data set into a folder of its own. (`tmp_path` looks through all earlier folders of a
    session, which takes longer than these tests.)"""
    base = tmp_path_factory.mktemp("fakes")
    made: dict[str, Path] = {}

    def copy(fake: Fake) -> Path:
        if fake.title not in made:
            made[fake.title] = fake.make(base / "originals" / fake.title)
        return shutil.copytree(made[fake.title], base / str(next(_NUMBERS)) / "data")

    return copy
