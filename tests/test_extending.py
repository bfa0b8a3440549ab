"""The examples of docs/contributing/extending.md run as written."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cimnet.data import LAYOUTS, open_dataset
from cimnet.models import create_model
from cimnet.models.registry import _FAMILIES, _NETWORKS
from cimnet.models.zoo import PUBLICATIONS
from cimnet.weights.official import from_official
from tests import ROOT
from tests.fakes.layouts import make_folder

EXAMPLES = re.findall(
    r"```python\n(.*?)```", (ROOT / "docs" / "contributing" / "extending.md").read_text(encoding="utf-8"), re.DOTALL
)


def test_a_data_set_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict = {}
    exec(EXAMPLES[0], names)
    monkeypatch.setitem(LAYOUTS, "drone", names["Drone"])
    root = make_folder(tmp_path / "pairs", n=4)
    for old, new in (("rgb", "color"), ("thermal", "ir"), ("labels", "masks")):
        (root / old).rename(root / new)
    (root / "classes.yaml").unlink()
    for mask in (root / "masks").iterdir():
        Image.fromarray((np.asarray(Image.open(mask)) > 3).astype(np.uint8)).save(mask)
    dataset = open_dataset(root, "train")
    assert dataset.name == "drone"
    assert dataset.classes == ("background", "vehicle")
    assert set(dataset[0].label.unique().tolist()) <= {0, 1}


def test_a_model_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    families = dict(_FAMILIES)
    try:
        exec(EXAMPLES[1], {})
        model = create_model("stacked_resnet18", 3)
        assert model.predict(torch.rand(1, 3, 33, 47), torch.rand(1, 1, 33, 47)).shape == (1, 33, 47)
        assert model.predict(None, torch.rand(1, 1, 33, 47)).shape == (1, 33, 47)
    finally:
        _FAMILIES.clear()
        _FAMILIES.update(families)


def test_a_published_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its original's weights load, in the order of colours that they expect."""
    networks = dict(_NETWORKS)
    try:
        names: dict = {}
        exec(EXAMPLES[2], names)
        monkeypatch.setitem(PUBLICATIONS, "tinynet", names["PUBLICATIONS"]["tinynet"])
        weights = {"head.conv.weight": torch.rand(3, 6, 1, 1), "head.conv.bias": torch.rand(3)}
        model = from_official("tinynet", weights)
        assert model.channel_order == "bgr"
        assert torch.equal(model.classify.bias, weights["head.conv.bias"])
        assert model(torch.rand(1, 3, 5, 7), torch.rand(1, 1, 5, 7)).logits.shape == (1, 3, 5, 7)
    finally:
        _NETWORKS.clear()
        _NETWORKS.update(networks)
