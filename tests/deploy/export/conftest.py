"""Exported files that several tests look at: one per format, made of the tiny trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from cimnet.checkpoint import ModelInfo
from cimnet.deploy.export.parity import Parity
from cimnet.deploy.export.write import SUFFIXES, Format, export
from cimnet.inference import Predictor
from cimnet.models import create_model
from tests.conftest import Trained

SMALL: dict[str, Any] = {"widths": (8, 16, 20, 32), "decoder_channels": 16}


def untrained(name: str, **options: Any) -> Predictor:
    """A small model with random weights, also where training begins at zero: offsets and other parts count, too."""
    torch.manual_seed(0)
    classes = ("a", "b", "c", "d")
    model = create_model(name, len(classes), **SMALL, **options)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    return Predictor(model, ModelInfo(name, {}, classes, ((0, 0, 0),) * 4), torch.device("cpu"))


class Exports:
    """Makes each file once."""

    def __init__(self, checkpoint: Path, folder: Path) -> None:
        self.checkpoint, self.folder = checkpoint, folder
        self.made: dict[str, tuple[Path, Parity]] = {}

    def __call__(self, format: Format, argmax: bool = False) -> tuple[Path, Parity]:
        name = f"{'mask' if argmax else 'model'}{SUFFIXES[format]}"
        if name not in self.made:
            out = self.folder / format / name
            self.made[name] = out, export(self.checkpoint, out, format, argmax=argmax)
        return self.made[name]


@pytest.fixture(scope="session")
def exports(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Exports:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    torch.set_num_threads(1)
    return Exports(trained.best, tmp_path_factory.mktemp("exports"))
