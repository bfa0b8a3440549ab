"""Resuming with something else than what the run was begun with: another model, machine, clock, state or best model."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cimnet.checkpoint import load_checkpoint, save_checkpoint
from cimnet.errors import CheckpointError, ConfigError
from cimnet.training import train
from cimnet.training.data_record import FILE
from cimnet.training.optim import learning_rate_factor
from cimnet.training.recipe import Recipe
from cimnet.training.states import read_state
from cimnet.training.trainer import Trainer
from tests.conftest import pixel_recipe, write_recipe
from tests.fakes.layouts import make_folder
from tests.training.same import same
from tests.training.test_kill import TINY_MODEL, TRAINING, start


def recipe(root: Path, epochs: int = 2, **training: Any) -> Recipe:
    return pixel_recipe(root, training={"epochs": epochs, "trackers": [], **training})


@pytest.fixture
def run(root: Path, tmp_path: Path, pixel: None) -> Path:
    """A run of two epochs."""
    train(recipe(root), tmp_path / "run")
    return tmp_path / "run"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


CHANGES: dict[str, dict[str, dict[str, Any]]] = {
    "model.name": {"model": {"name": "pixel"}},
    "training.batch_size": {"training": {"batch_size": 3}},
    "training.accumulate": {"training": {"accumulate": 2}},
    "training.seed": {"training": {"seed": 8}},
    "training.ema_decay": {"training": {"ema_decay": 0.9}},
    "augmentation.crop": {"augmentation": {"crop": [32, 32]}},
}


@pytest.mark.parametrize("field", CHANGES)
def test_another_model_batch_size_or_seed_is_refused(root: Path, run: Path, field: str) -> None:
    base = recipe(root, 3)
    sections = {name: getattr(base, name).model_copy(update=values) for name, values in CHANGES[field].items()}
    before = contents(run)
    with pytest.raises(ConfigError, match=rf"made with other settings: {field} .*then.*now"):
        train(base.model_copy(update=sections), run, resume=True)
    assert contents(run) == before


def test_another_encoder_is_refused(tmp_path: Path, trained: Any) -> None:
    shutil.copytree(trained.folder, tmp_path / "run")
    model = trained.recipe.model.model_copy(update={"name": "cimnet_resnet18"})
    with pytest.raises(ConfigError, match=r"settings: model.name \(cimnet_test_resnet then, cimnet_resnet18 now\)"):
        train(trained.recipe.model_copy(update={"model": model}), tmp_path / "run", resume=True)


def test_another_number_of_threads_is_noted(root: Path, run: Path) -> None:
    """It may change the last bits, not what is computed."""
    torch.set_num_threads(2)
    try:
        train(recipe(root, 3), run, resume=True)
    finally:
        torch.set_num_threads(1)
    starts = json.loads((run / "environment.json").read_text())["starts"]
    assert [start["threads"] for start in starts] == [1, 2]


@pytest.mark.parametrize("years", [-20, 20])
def test_a_clock_that_was_set_changes_nothing(
    root: Path, run: Path, tmp_path: Path, years: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(recipe(root, 3), tmp_path / "whole")
    shift = years * 365 * 86400
    now = time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now() + shift)
        for number, path in enumerate(sorted(run.iterdir())):  # the older state is the newer file
            os.utime(path, (now() + shift - number, now() + shift - number))
        for path in sorted((root / "rgb").iterdir()):
            os.utime(path, (now() - shift, now() - shift))
        train(recipe(root, 3), run, resume=True)
    left, right = (read_state(folder / "last.pt") for folder in (run, tmp_path / "whole"))
    assert all(same(left[part], right[part]) for part in ("module", "optimizer", "schedule"))


@pytest.mark.parametrize("offsets", [1.0, 0.25])
def test_a_longer_run_has_the_rates_of_its_schedule(
    root: Path, tmp_path: Path, pixel: None, monkeypatch: pytest.MonkeyPatch, offsets: float
) -> None:
    """From the first step on: the state holds the rate at the end of the shorter schedule, 0."""
    poly = {"schedule": "poly", "learning_rate": 0.01, "offset_rate": offsets}
    monkeypatch.setattr("cimnet.training.optim.gives_offsets", lambda name: name.endswith("bias"))
    train(recipe(root, 2, **poly), tmp_path / "run")
    longer, update = recipe(root, 4, **poly), Trainer.update
    rates: list[set[float]] = []

    def noted(trainer: Trainer, step: int) -> None:
        factor = learning_rate_factor(step - 1, trainer.steps // 4, longer.training)
        rates.append({round(group["lr"] / factor, 9) for group in trainer.optimizer.param_groups})
        update(trainer, step)

    monkeypatch.setattr(Trainer, "update", noted)
    train(longer, tmp_path / "run", resume=True)
    assert rates == [{0.01 * offsets, 0.01}] * len(rates)
    assert rates


@pytest.fixture
def other(root: Path, tmp_path: Path, run: Path) -> Path:
    """Another run on the same data."""
    train(recipe(root, seed=5), tmp_path / "other")
    return tmp_path / "other"


def test_a_state_of_another_run_is_refused(root: Path, run: Path, other: Path) -> None:
    shutil.copy(other / "last.pt", run / "last.pt")
    before = contents(run)
    with pytest.raises(ConfigError, match="one of another run; restore the run's own"):
        train(recipe(root, 3), run, resume=True)
    assert contents(run) == before


def test_a_state_of_a_run_on_other_data_is_refused(root: Path, run: Path, tmp_path: Path) -> None:
    """The same recipe but for `data.root`, which may change."""
    elsewhere = make_folder(tmp_path / "elsewhere", 12, seed=3)
    train(recipe(elsewhere), tmp_path / "second")
    shutil.copy(tmp_path / "second" / "last.pt", run / "last.pt")
    with pytest.raises(ConfigError, match="one of another run"):
        train(recipe(root, 3), run, resume=True)


def test_a_run_of_an_older_version_goes_on(root: Path, run: Path) -> None:
    """Neither its states nor its record have a mark; they get one."""
    state = read_state(run / "last.pt")
    state.pop("run")
    torch.save(state, run / "last.pt")
    record = json.loads((run / FILE).read_text())
    record.pop("run")
    (run / FILE).write_text(json.dumps(record))
    train(recipe(root, 3), run, resume=True)
    assert read_state(run / "last.pt")["run"] == json.loads((run / FILE).read_text())["run"]


def _foreign(run: Path, other: Path) -> None:
    shutil.copy(other / "best.safetensors", run / "best.safetensors")


def _older(run: Path, other: Path) -> None:
    model, info = load_checkpoint(run / "best.safetensors")
    info.metrics.update(miou=info.metrics["miou"] + 0.1, epoch=1)
    save_checkpoint(run / "best.safetensors", model, info)


@pytest.mark.parametrize("put", [_foreign, _older])
def test_a_best_model_of_another_run_is_left_alone(
    root: Path, run: Path, other: Path, put: Callable[[Path, Path], None]
) -> None:
    scores = [load_checkpoint(folder / "best.safetensors")[1].metrics["miou"] for folder in (run, other)]
    assert scores[0] != scores[1], "the attack itself does not work"
    put(run, other)
    before = contents(run)
    with pytest.raises(
        ConfigError, match=r"best\.safetensors \(epoch \d\) is not the best model .* move this one away"
    ):
        train(recipe(root, 3), run, resume=True)
    assert contents(run) == before
    (run / "best.safetensors").rename(run / "kept.safetensors")
    with pytest.warns(UserWarning, match="is missing"):
        train(recipe(root, 3), run, resume=True)


def test_a_damaged_best_model_is_named(root: Path, run: Path) -> None:
    (run / "best.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"best\.safetensors: damaged"):
        train(recipe(root, 3), run, resume=True)


def test_a_best_model_that_is_newer_than_the_state_is_written_again(root: Path, run: Path, tmp_path: Path) -> None:
    """As after a kill between the two."""
    train(recipe(root, 3), tmp_path / "whole")
    shutil.copy(tmp_path / "whole" / "best.safetensors", run / "best.safetensors")
    train(recipe(root, 3), run, resume=True)
    assert (run / "best.safetensors").read_bytes() == (tmp_path / "whole" / "best.safetensors").read_bytes()


@pytest.mark.slow
def test_two_processes_that_resume_at_one_moment(tmp_path: Path) -> None:
    """One goes on, the other says so and touches nothing; the run ends as one that was resumed once."""
    path = write_recipe(
        tmp_path / "recipe.yaml", make_folder(tmp_path / "data", 10), model=TINY_MODEL, training=TRAINING
    )
    run = start(path, tmp_path / "whole")
    assert "step" in run.communicate(timeout=120)[0]
    both = [start(path, tmp_path / "run", "--slow", "0.2") for _ in range(2)]
    texts = [process.communicate(timeout=240)[0] for process in both]
    assert sorted(process.returncode for process in both) == [0, 1]
    refused = next(text for process, text in zip(both, texts, strict=True) if process.returncode)
    assert "another process trains in it" in refused
    assert "step" not in refused
    left, right = (read_state(tmp_path / name / "last.pt") for name in ("whole", "run"))
    assert same(left["module"], right["module"])
