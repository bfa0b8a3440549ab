"""Curves in TensorBoard, MLflow and W&B, without gaps or doubles after a restart."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cimnet.errors import ConfigError, Stopped
from cimnet.training import train
from cimnet.training.trackers import require_trackers
from tests.conftest import pixel_recipe
from tests.fakes.layouts import make_folder


class _Stop(Exception):
    pass


def _stop_at(step: int) -> object:
    def report(row: dict[str, float]) -> None:
        if row["step"] == step and "miou" not in row:
            raise _Stop

    return report


def _interrupted(tmp_path: Path, trackers: list[str]) -> Path:
    """A run of six steps, broken off after the fourth, of which the state remembers three."""
    recipe = pixel_recipe(
        make_folder(tmp_path / "data", 12), training={"epochs": 2, "save_every": 3, "trackers": trackers}
    )
    with pytest.raises(_Stop):
        train(recipe, tmp_path / "run", report=_stop_at(4))  # type: ignore[arg-type]
    train(recipe, tmp_path / "run", resume=True)
    return tmp_path / "run"


def test_tensorboard_has_each_step_once(tmp_path: Path, pixel: None) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(_interrupted(tmp_path, ["tensorboard"]) / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("epoch", [1, 2])
def test_tensorboard_has_the_steps_of_an_interrupted_epoch_once(tmp_path: Path, pixel: None, epoch: int) -> None:
    """Also those of the first epoch, which ends before there is a state to resume from."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    recipe = pixel_recipe(make_folder(tmp_path / "data", 12), training={"epochs": 2, "save_every": 0})
    with pytest.raises(_Stop):
        train(recipe, tmp_path / "run", report=_stop_at(3 * epoch - 1))  # type: ignore[arg-type]
    train(recipe, tmp_path / "run", resume=True)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4, 5, 6]
    assert [event.step for event in events.Scalars("epoch/loss")] == [3, 6]


def test_mlflow_goes_on_with_the_same_run(tmp_path: Path, pixel: None, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
    _interrupted(tmp_path, ["mlflow"])
    runs = mlflow.search_runs(experiment_names=["cimnet"], output_format="list")
    assert len(runs) == 1
    assert runs[0].data.params["model.name"] == "pixel_mi"
    history = mlflow.MlflowClient().get_metric_history(runs[0].info.run_id, "train/loss")
    assert sorted({metric.step for metric in history}) == [1, 2, 3, 4, 5, 6]


def test_wandb_offline(tmp_path: Path, pixel: None, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    out = _interrupted(tmp_path, ["wandb"])
    logs = sorted(path.name for path in out.glob("wandb/offline-run-*"))
    assert len(logs) == 2
    assert len({name.rpartition("-run-")[2].partition("-")[2] for name in logs}) == 1  # one id: W&B joins them


def test_none(tmp_path: Path, pixel: None) -> None:
    assert not (_interrupted(tmp_path, []) / "tensorboard").exists()


def test_a_tracker_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigError, match=r'^training.trackers: wandb: .*; pip install "cimnet\[trackers\]"$'):
        require_trackers(["wandb"])
    assert issubclass(Stopped, Exception)
