"""`leave_out_broken`: what the alarm calls broken is predicted without, if the other sensor is sound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import cimnet
from cimnet.checkpoint import ModelInfo, save_checkpoint
from cimnet.errors import CheckpointError, ConfigError
from cimnet.inference import Predictor
from cimnet.inference.alarms.alarm import NUMBERS, Alarm, AlarmModel
from cimnet.inference.alarms.detector import Detector
from cimnet.inference.settings import Settings
from cimnet.models import create_model
from tests.conftest import Result

Command = Callable[..., Result]


def _raising(checkpoint: Path, *alarms: str, leave_out: bool = True) -> Predictor:
    """With an alarm that raises these, whatever it sees."""
    predictor = cimnet.load(checkpoint, "cpu")
    detectors = {}
    for name, numbers in NUMBERS.items():
        none = tuple(0.0 for _ in numbers)
        ones = tuple(1.0 for _ in numbers)
        detectors[name] = Detector(numbers, none, ones, none, none, bias=5.0 if name in alarms else -5.0)
    info = replace(predictor.info, alarm=AlarmModel(detectors).to_dict())
    return Predictor(predictor.model, info, predictor.device, Settings(leave_out_broken=leave_out))


@pytest.mark.parametrize(
    ("raised", "left"),
    [
        ((), "both"),
        (("rgb_broken",), "thermal"),
        (("rgb_broken", "misaligned"), "thermal"),
        (("thermal_broken",), "rgb"),
        (("rgb_broken", "thermal_broken"), "both"),
        (("misaligned",), "both"),
    ],
)
def test_the_sound_sensor_is_kept(checkpoint: Path, raised: tuple[str, ...], left: str) -> None:
    rgb, thermal = torch.rand(3, 40, 32), torch.rand(1, 40, 32)
    plain = _raising(checkpoint, *raised, leave_out=False)
    expected = {"both": (rgb, thermal), "rgb": (rgb, None), "thermal": (None, thermal)}
    found = {name: plain.predict_proba(*pair) for name, pair in expected.items()}
    assert all(np.abs(found["both"] - found[name]).max() > 1e-3 for name in ("rgb", "thermal"))
    predictor = _raising(checkpoint, *raised)
    np.testing.assert_array_equal(predictor.predict_proba(rgb, thermal), found[left])
    np.testing.assert_array_equal(predictor.predict(rgb, thermal), plain.predict(*expected[left]))


def test_it_is_decided_pair_by_pair(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = _raising(checkpoint)
    predictor.settings = replace(predictor.settings, batch_size=3)
    pairs = [(torch.rand(3, 40, 32), torch.rand(1, 40, 32)) for _ in range(3)]
    brightest = max(float(rgb.mean()) for rgb, _ in pairs)
    monkeypatch.setattr(
        predictor,
        "alarm_model",
        lambda: lambda numbers: Alarm({}, ("rgb_broken",) if numbers["rgb_brightness"] >= brightest - 1e-7 else (), {}),
    )
    masks = predictor.predict_batch(pairs)
    plain = _raising(checkpoint, leave_out=False)
    expected = [plain.predict(None if float(rgb.mean()) == brightest else rgb, thermal) for rgb, thermal in pairs]
    np.testing.assert_array_equal(np.stack(masks), np.stack(expected))


def test_a_model_of_one_sensor_is_not_blinded(tmp_path: Path) -> None:
    options = {"widths": (8, 16, 20, 32), "decoder_channels": 16}
    model = create_model("thermal_only_resnet10t", 3, **options)
    info = ModelInfo("thermal_only_resnet10t", options, ("a", "b", "c"), ((0, 0, 0), (9, 9, 9), (99, 9, 9)))
    save_checkpoint(tmp_path / "model.safetensors", model, info)
    with pytest.raises(ConfigError, match="sees one sensor alone"):
        _raising(tmp_path / "model.safetensors")


def test_of_a_pair_that_lacks_an_image_the_other_one_stays(checkpoint: Path) -> None:
    thermal = torch.rand(1, 40, 32)
    plain, predictor = (_raising(checkpoint, "thermal_broken", leave_out=leave) for leave in (False, True))
    np.testing.assert_array_equal(predictor.predict_proba(None, thermal), plain.predict_proba(None, thermal))


def test_without_an_alarm_it_is_refused(checkpoint: Path, folder: Path, tmp_path: Path, cli: Command) -> None:
    with pytest.raises(CheckpointError, match="has no alarm; run `cimnet calibrate"):
        cimnet.load(checkpoint, "cpu", leave_out_broken=True)
    sides = ("--rgb", folder / "rgb", "--thermal", folder / "thermal")
    result = cli("predict", checkpoint, *sides, "--out", tmp_path / "out", "--leave-out-broken")
    assert result.code == 2
    assert "has no alarm" in result.err
    assert not (tmp_path / "out").exists()
