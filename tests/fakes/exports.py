"""Exported files that several tests look at: one per format, made of the tiny trained model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from cimnet.deploy.export.parity import Parity
from cimnet.deploy.export.write import SUFFIXES, Format, export

if TYPE_CHECKING:
    from tests.conftest import Trained


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
