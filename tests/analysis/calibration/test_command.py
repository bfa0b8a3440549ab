"""`cimnet calibrate`, and what predicting makes of a calibrated checkpoint."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import cimnet
from cimnet.checkpoint import load_checkpoint
from cimnet.cli.shared import counter
from cimnet.errors import CheckpointError, CimnetError
from cimnet.inference.alarms.alarm import AlarmModel
from cimnet.training.data_record import record_of, write_record
from tests.conftest import Result

Command = Callable[..., Result]


def test_calibrate_then_predict(
    cli: Command, checkpoint: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[tuple[int, int]] = []
    monkeypatch.setattr(counter, "report", lambda _, done, total: reported.append((done, total)))
    weights = safetensors.torch.load_file(checkpoint)
    out, report = tmp_path / "new" / "calibrated.safetensors", tmp_path / "report"
    before = checkpoint.read_bytes()
    done = cli("calibrate", checkpoint, folder, "--out", out, "--report", report, "--device", "cpu")
    assert done.code == 0, done.err
    assert "rgb_broken" in done.out
    assert "ECE" in done.out
    pairs = 2 * sum(len(cimnet.open_dataset(folder, split)) for split in ("val", "test"))
    assert reported == [(number, pairs) for number in range(1, pairs + 1)]
    assert checkpoint.read_bytes() == before
    assert sorted(path.name for path in report.iterdir()) == ["calibration.json", "reliability.png", "roc.png"]
    scores = json.loads((report / "calibration.json").read_text())
    model, info = load_checkpoint(out)
    assert info.temperature == scores["temperature"] > 0
    assert scores["after"]["accuracy"] == scores["before"]["accuracy"]
    assert scores["alarms"].keys() == {"rgb_broken", "thermal_broken", "misaligned"}
    assert all(torch.equal(weights[key], value) for key, value in model.state_dict().items())
    _predict(cli, out, folder, tmp_path / "out")
    _probabilities(checkpoint, out, folder)


def _predict(cli: Command, checkpoint: Path, folder: Path, out: Path) -> None:
    arguments = ("predict", checkpoint, "--rgb", folder / "rgb", "--thermal", folder / "thermal", "--out", out)
    done = cli(*arguments)
    assert done.code == 0, done.err
    with (out / "alarms.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [f"{k:03d}" for k in range(22)]
    assert list(rows[0]) == ["name", "rgb_broken", "thermal_broken", "misaligned", "raised"]
    raised = {row["name"] for row in rows if row["raised"]}
    told = {line.partition(":")[0] for line in done.out.splitlines() if " looks broken" in line or "lie on" in line}
    assert told == raised
    assert all(0 <= float(row[kind]) <= 1 for row in rows for kind in list(row)[1:4])
    again = cli(*arguments)
    assert again.code == 2
    assert "--overwrite" in again.err
    one = cli("predict", checkpoint, "--rgb", folder / "rgb", "--out", out, "--overwrite")
    assert one.code == 0
    assert "looks broken" not in one.out  # a sensor that was left out on purpose
    assert not (out / "alarms.csv").exists()
    alone = cimnet.load(checkpoint, "cpu").alarm(folder / "rgb" / "003.png", folder / "thermal" / "003.png")
    assert f"{alone.probabilities['misaligned']:.4f}" == rows[3]["misaligned"]
    assert " ".join(alone.raised) == rows[3]["raised"]


def _probabilities(plain: Path, calibrated: Path, folder: Path) -> None:
    pair = folder / "rgb" / "003.png", folder / "thermal" / "003.png"
    before, after = cimnet.load(plain, "cpu"), cimnet.load(calibrated, "cpu")
    first, second = before.predict_proba(*pair), after.predict_proba(*pair)
    assert second.shape == (3, 32, 40)
    assert second.dtype == np.float32
    np.testing.assert_allclose(second.sum(0), 1, rtol=1e-5)
    np.testing.assert_array_equal(second.argmax(0), before.predict(*pair))
    temperature = after.info.temperature or 0.0
    softened = first ** (1 / temperature)
    np.testing.assert_allclose(second, softened / softened.sum(0), rtol=1e-3, atol=1e-6)


def test_without_a_calibration_nothing_changes(cli: Command, checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    predictor = cimnet.load(checkpoint, "cpu")
    assert predictor.info.alarm is None
    pair = folder / "rgb" / "003.png", folder / "thermal" / "003.png"
    with pytest.raises(CheckpointError, match="no alarm; run `cimnet calibrate"):
        predictor.alarm(*pair)
    done = cli("predict", checkpoint, "--rgb", pair[0], "--thermal", pair[1], "--out", tmp_path / "out")
    assert done.code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["masks", "overlays", "prediction.json"]


def test_the_checkpoint_itself_is_replaced_whole_or_not_at_all(
    cli: Command, checkpoint: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = checkpoint.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("safetensors.torch.save_file", _full)
        failed = cli("calibrate", checkpoint, folder, "--device", "cpu")
    assert failed.code == 2
    assert "No space left" in failed.err
    assert checkpoint.read_bytes() == before
    assert [path.name for path in checkpoint.parent.iterdir()] == [checkpoint.name]


def test_a_report_that_cannot_be_written_does_not_cost_the_fit(
    cli: Command, checkpoint: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise CimnetError("No space left")

    monkeypatch.setattr("cimnet.analysis.calibration.fit.write_report", fail)
    out = tmp_path / "fitted.safetensors"
    failed = cli("calibrate", checkpoint, folder, "--out", out, "--report", tmp_path / "report", "--device", "cpu")
    assert failed.code == 2
    assert "No space left" in failed.err
    assert out.is_file()


def _full(state: object, target: Path, metadata: object) -> None:
    target.write_bytes(b"half")
    raise OSError(28, "No space left on device")


def test_a_run_folder_and_splits_that_are_missing(cli: Command, checkpoint: Path, folder: Path) -> None:
    failed = cli("calibrate", checkpoint, folder, "--test-split", "autumn")
    assert failed.code == 2
    assert "autumn" in failed.err


def test_pairs_of_the_training_and_of_both_splits_are_refused(
    cli: Command, checkpoint: Path, folder: Path, tmp_path: Path
) -> None:
    """The fit would be on masks that are surer than those of new pairs, or be scored on its own pairs."""
    before = checkpoint.read_bytes()
    fit, test = (cimnet.open_dataset(folder, split) for split in ("val", "test"))
    shared = cli("calibrate", checkpoint, folder, "--split", "all")
    assert shared.code == 2
    assert "--split all and --test-split test share 10 pairs (012, 013 and 8 more), so the scores would" in shared.err
    write_record(checkpoint.parent, record_of(test, fit), "mark")
    for splits, option in ((("--split", "test", "--test-split", "val"), "--split test"), ((), "--test-split test")):
        failed = cli("calibrate", checkpoint, folder, *splits)
        assert failed.code == 2
        assert f"{option}: the model was trained on 10 of its 10 pairs (012, 013 and 8 more; {tmp_path}" in failed.err
    assert checkpoint.read_bytes() == before


def test_checkpoints_of_before(checkpoint: Path, tmp_path: Path) -> None:
    """Without the fields, as older versions wrote them."""
    with safetensors.safe_open(checkpoint, framework="pt") as handle:
        content = json.loads(handle.metadata()["cimnet"])
    del content["temperature"], content["alarm"]
    old = tmp_path / "old.safetensors"
    metadata = {"cimnet": json.dumps(content)}
    safetensors.torch.save_file(safetensors.torch.load_file(checkpoint), old, metadata=metadata)
    info = load_checkpoint(old)[1]
    assert (info.temperature, info.alarm) == (None, None)


def test_an_alarm_of_a_later_version_does_not_stop_the_model(checkpoint: Path, folder: Path) -> None:
    predictor = cimnet.load(checkpoint, "cpu")
    predictor.info = cimnet.checkpoint.ModelInfo(**{**vars(predictor.info), "alarm": {"version": 99}})
    pair = folder / "rgb" / "003.png", folder / "thermal" / "003.png"
    assert predictor.predict(*pair).shape == (32, 40)
    with pytest.raises(CheckpointError, match="version 99"):
        predictor.alarm(*pair)
    with pytest.raises(CheckpointError):
        AlarmModel.from_dict({"version": 99})
