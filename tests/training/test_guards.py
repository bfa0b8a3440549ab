"""What ends a run with a word on why: losses, memory, dead dataloader workers, full disks, a second process."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cimnet.data import Batch, RGBTDataset, RGBTSample
from cimnet.errors import CimnetError, ConfigError, DataError
from cimnet.training import train
from cimnet.training.guards import LossGuard
from cimnet.training.loss import Loss
from cimnet.training.run_folder import RunFolder
from cimnet.training.states import read_state, save_state
from cimnet.training.trainer import TrainStep
from tests.conftest import pixel_recipe


def _scale_loss(monkeypatch: pytest.MonkeyPatch, at: int, factor: float) -> None:
    """The loss of the pass number ``at`` is multiplied."""
    passes = iter(range(10_000))
    forward = TrainStep.forward

    def scaled(self: TrainStep, batch: Batch, progress: float) -> Loss:
        loss: Loss = forward(self, batch, progress)
        return loss._replace(total=loss.total * factor) if self.training and next(passes) == at else loss

    monkeypatch.setattr(TrainStep, "forward", scaled)


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        (float("inf"), r"is no longer finite at step 1 .*; start again in another --out .*clip_norm\.$"),
        (1e6, r"above training\.max_loss at step 1 .*raise training\.max_loss and --resume\.$"),
    ],
)
def test_a_loss_out_of_bounds_notes_this_batch_and_the_one_before(
    root: Path, tmp_path: Path, pixel: None, monkeypatch: pytest.MonkeyPatch, factor: float, message: str
) -> None:
    _scale_loss(monkeypatch, 1, factor)
    recipe = pixel_recipe(root, training={"save_every": 1})
    with pytest.raises(CimnetError, match=f"the loss .*{message}"):
        train(recipe, tmp_path / "run")
    noted = json.loads((tmp_path / "run" / "bad_batch.json").read_text())
    assert noted["step"] == 1
    assert len(noted["batch"]) == len(noted["batch_before"]) == 2
    assert set(noted["batch"]).isdisjoint(noted["batch_before"])
    kept = read_state(tmp_path / "run" / "last.pt")
    assert kept["progress"]["step"] == 1  # the state before, whose weights are sound
    assert torch.isfinite(kept["module"]["model.classify.weight"]).all()
    monkeypatch.undo()


def test_a_gradient_that_is_not_finite_is_caught_before_it_reaches_the_weights(tmp_path: Path) -> None:
    accelerator: Any = SimpleNamespace(scaler=object(), is_main_process=True)
    guard = LossGuard(accelerator, tmp_path / "bad.json", 100.0)
    values = {"loss": 1.0, "gradient_norm": float("nan")}
    guard.check(values, ["a"], 0)  # float16: the step is left out
    accelerator.scaler = None
    with pytest.raises(CimnetError, match="the gradient is no longer finite at step 3"):
        guard.check(values, ["b"], 3)
    assert json.loads((tmp_path / "bad.json").read_text()) == {
        "step": 3,
        "batch": ["b"],
        "batch_before": ["a"],
        "loss": 1.0,
        "gradient_norm": "nan",
    }


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
    ids=["Python", "CUDA", "CPU"],
)
def test_too_little_memory_names_batch_crop_and_knobs(
    root: Path, tmp_path: Path, pixel: None, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def forward(self: TrainStep, batch: Batch, progress: float) -> Loss:
        raise error

    monkeypatch.setattr(TrainStep, "forward", forward)
    message = r"batch_size 2 and augmentation\.crop 32x40.*lower training\.batch_size.*gradient_checkpointing=true"
    with pytest.raises(CimnetError, match=message):
        train(pixel_recipe(root), tmp_path / "run")


def test_another_error_of_torch_is_not_taken_for_memory(
    root: Path, tmp_path: Path, pixel: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(self: TrainStep, batch: Batch, progress: float) -> Loss:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(TrainStep, "forward", forward)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        train(pixel_recipe(root), tmp_path / "run")


def test_a_dataloader_worker_that_dies_names_its_file(root: Path, tmp_path: Path, pixel: None) -> None:
    """As a decoder that crashes would; training then goes on where it was, once the file is mended."""
    recipe = pixel_recipe(root, data={"workers": 2}, training={"save_every": 1})
    victim = (root / "train.txt").read_text().split()[3]

    def crash(sample: RGBTSample) -> RGBTSample:
        if sample.id == victim and torch.utils.data.get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGSEGV)
        return sample

    read = RGBTDataset.read
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RGBTDataset, "read", lambda self, index: crash(read(self, index)))
        with pytest.raises(DataError, match=f"a dataloader worker died while it read {victim}: .*{victim}.png"):
            train(recipe, tmp_path / "run")
    assert train(recipe, tmp_path / "run", resume=True).is_file()


def test_a_full_disk_keeps_the_states_that_are_there(
    root: Path, tmp_path: Path, pixel: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = pixel_recipe(root, training={"save_every": 1})
    save = torch.save
    written = iter(range(100))

    def full(state: Any, path: Any) -> None:
        if next(written) == 2:
            with Path(path).open("wb") as file:
                file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(state, path)

    with monkeypatch.context() as patch:
        patch.setattr("cimnet.training.states.torch.save", full)
        with pytest.raises(CimnetError, match=r"last\.pt: cannot be written \(No space left.*free space"):
            train(recipe, tmp_path / "run")
    assert read_state(tmp_path / "run" / "last.pt")["progress"]["step"] == 2
    assert read_state(tmp_path / "run" / "previous.pt")["progress"]["step"] == 1
    assert not [*(tmp_path / "run").glob(".*.part*")]
    train(recipe, tmp_path / "run", resume=True)
    train(recipe, tmp_path / "whole")
    resumed, whole = (read_state(tmp_path / name / "last.pt")["module"] for name in ("run", "whole"))
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


def test_a_state_within_an_epoch_asks_for_as_many_processes(root: Path, tmp_path: Path, pixel: None) -> None:
    train(pixel_recipe(root, training={"epochs": 1}), tmp_path / "run")
    state = read_state(tmp_path / "run" / "last.pt")
    longer = pixel_recipe(root, training={"epochs": 2})
    save_state(tmp_path / "run", {**state, "processes": 4, "progress": {**state["progress"], "batch": 1}})
    with pytest.raises(ConfigError, match="within an epoch; its number of processes was 4 and is 1 now; start the"):
        train(longer, tmp_path / "run", resume=True)
    save_state(tmp_path / "run", {**state, "processes": 4})  # between epochs it does not matter
    assert train(longer, tmp_path / "run", resume=True).is_file()


def test_one_process_in_a_folder(root: Path, tmp_path: Path, pixel: None) -> None:
    recipe = pixel_recipe(root, training={"epochs": 1})
    other = RunFolder(tmp_path / "run")
    other.lock()
    other.describe(recipe, 0, 1)
    (tmp_path / "run" / ".last.1.part.pt").write_text("of the other one")
    with pytest.raises(CimnetError, match="another process trains in it"):
        train(recipe, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / ".last.1.part.pt").is_file()
    other.unlock()
    train(recipe, tmp_path / "run", resume=True)
    assert not (tmp_path / "run" / ".last.1.part.pt").exists()


def test_a_run_that_is_refused_leaves_nothing(root: Path, tmp_path: Path, pixel: None) -> None:
    with pytest.raises(ConfigError, match="model"):
        train(pixel_recipe(root, model={"name": "pixel_mi", "swr": False}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_small_file_system_that_is_really_full(root: Path, tmp_path: Path, pixel: None) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        recipe = pixel_recipe(root, training={"epochs": 1, "trackers": []})
        train(recipe, small / "run")
        before = {path.name: path.read_bytes() for path in (small / "run").iterdir()}
        free = os.statvfs(small).f_bavail * os.statvfs(small).f_frsize
        (small / "fill").write_bytes(bytes(free))
        longer = pixel_recipe(root, training={"epochs": 2, "trackers": []})
        with pytest.raises(CimnetError, match=r"cannot be written \(.*free space"):
            train(longer, small / "run", resume=True)
        assert {path.name: path.read_bytes() for path in (small / "run").iterdir()} == before
        (small / "fill").unlink()
        train(longer, small / "run", resume=True)
        assert read_state(small / "run" / "last.pt")["progress"]["epoch"] == 2
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
