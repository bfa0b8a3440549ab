"""Scenes of 160 by 128 pixels with defects, a calibrated pixel model on folders."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cimnet.analysis.calibration.defects import Case, cases
from cimnet.checkpoint import ModelInfo, save_checkpoint
from cimnet.data.sample import RGBTSample
from cimnet.inference.alarms.alarm import AlarmModel, MeasuredCase, fit_alarm
from cimnet.inference.alarms.image_features import pair_stats, rgb_stats, thermal_stats
from cimnet.models import create_model
from tests.fakes.layouts import CLASSES, make_folder, write_list
from tests.fakes.pixel import Pixel
from tests.fakes.scene_dataset import SceneDataset

SIGNALS = {"sureness": 0.8, "without_thermal": 0.5, "without_rgb": 0.5, "flow": 0.0}
"""Of a model that says nothing."""


def numbers_of(sample: RGBTSample) -> dict[str, float]:
    """What images alone tell."""
    return rgb_stats(sample.rgb) | thermal_stats(sample.thermal) | pair_stats(sample.rgb, sample.thermal) | SIGNALS


class Kept(SceneDataset):
    """Scenes that are drawn once."""

    def __init__(self, split: str, length: int) -> None:
        super().__init__(split, length, size=(128, 160), scale=0.25)
        self.kept = [SceneDataset.__getitem__(self, index) for index in range(length)]

    def __getitem__(self, index: int) -> RGBTSample:
        if not 0 <= index < self.length:
            raise IndexError(index)
        return self.kept[index]


@pytest.fixture(scope="session")
def scenes() -> Kept:
    """Sound and other scenes; do not change them."""
    return Kept("val", 24)


@pytest.fixture(scope="session")
def made(scenes: Kept) -> list[Case]:
    """The scenes as they are and with defects."""
    return list(cases(scenes))


@pytest.fixture(scope="session")
def measured(made: list[Case]) -> list[MeasuredCase]:
    """Those, by images alone."""
    return [MeasuredCase(numbers_of(c.sample), c.truth, c.pair, c.defect, c.sound) for c in made]


@pytest.fixture(scope="session")
def alarm(measured: list[MeasuredCase]) -> AlarmModel:
    """Fitted on those."""
    return fit_alarm(measured)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 40 by 32 pixels: ten pairs each of val and test."""
    root = make_folder(tmp_path_factory.mktemp("confidence") / "data", 22)
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
