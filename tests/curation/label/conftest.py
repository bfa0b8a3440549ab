"""A data set that is partly labelled, and a stand-in for a model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from cimnet.data.pairs import Arrays, Pair

NAMES = ("background", "car", "person walking", "tree")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Five pairs, two of them labelled; one lies in a folder of its own."""
    root = tmp_path / "data"
    rng = np.random.default_rng(0)
    for kind in ("rgb", "thermal", "labels"):
        (root / kind / "flight 2").mkdir(parents=True)
    for number, name in enumerate(("a", "b", "c", "d e", "flight 2/a")):
        Image.fromarray(rng.integers(0, 255, (20, 30, 3), np.uint8)).save(root / "rgb" / f"{name}.png")
        Image.fromarray(rng.integers(0, 65535, (20, 30), np.uint16)).save(root / "thermal" / f"{name}.png")
        if number < 2:
            Image.fromarray(truth(number)).save(root / "labels" / f"{name}.png")
    (root / "classes.yaml").write_text(json.dumps({"classes": list(NAMES)}))
    return root


def truth(seed: int, classes: int = len(NAMES)) -> npt.NDArray[np.uint8]:
    coarse = np.random.default_rng(seed).integers(0, classes, (4, 5), np.uint8)
    return np.kron(coarse, np.ones((5, 6), np.uint8))


def guess(arrays: Arrays, pair: Pair) -> tuple[npt.NDArray[np.uint8], float]:
    """Masks by name, "c" the least certain."""
    return truth(sum(map(ord, pair.id))), {"c": 0.9, "d e": 0.2}.get(pair.id, 0.5)
