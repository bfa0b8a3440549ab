"""Scenes of 160 by 128 pixels with defects, and an alarm that is fitted on them."""

from __future__ import annotations

import pytest

from cimnet.analysis.calibration.defects import Case, cases
from cimnet.data.sample import RGBTSample
from cimnet.inference.alarms.alarm import AlarmModel, MeasuredCase, fit_alarm
from cimnet.inference.alarms.image_features import pair_stats, rgb_stats, thermal_stats
from tests.fakes.scene_dataset import SceneDataset
from tests.inference.alarms.conftest import checkpoint, folder

__all__ = ["checkpoint", "folder"]

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
