"""A pixel model on folders, not calibrated."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cimnet.checkpoint import ModelInfo, save_checkpoint
from cimnet.models import create_model
from tests.fakes.layouts import CLASSES, make_folder, write_list
from tests.fakes.pixel import Pixel


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 40 by 32 pixels: ten pairs each of val and test."""
    root = make_folder(tmp_path_factory.mktemp("alarms") / "data", 22)
    write_list(root / "val.txt", [f"{k:03d}" for k in range(2, 12)])
    write_list(root / "test.txt", [f"{k:03d}" for k in range(12, 22)])
    return root


@pytest.fixture
def checkpoint(pixel: None, tmp_path: Path) -> Path:
    """Of a pixel model with random weights; not calibrated."""
    torch.manual_seed(0)
    model = create_model("pixel_plain", len(CLASSES))
    assert isinstance(model, Pixel)
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, model, ModelInfo("pixel_plain", {}, CLASSES, ((0, 0, 0), (9, 9, 9), (99, 9, 9))))
    return path
