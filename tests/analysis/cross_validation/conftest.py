"""A small data set of drives with folds, and a recipe that takes milliseconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cimnet.curation.split.folds import divide_into_folds
from cimnet.training.recipe import Recipe
from tests.conftest import one_thread, pixel_recipe
from tests.fakes.layouts import make_folder

NAMES = tuple(f"drive{drive}_{frame}" for drive in range(6) for frame in range(2))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twelve pairs in six drives, three folds."""
    root = make_folder(tmp_path / "data", names=NAMES)
    divide_into_folds(root, 3).write()
    return root


@pytest.fixture
def recipe(root: Path, pixel: None) -> Recipe:
    return pixel_recipe(root, training={"epochs": 1, "learning_rate": 0.1})
