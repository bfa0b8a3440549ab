"""SIGKILL at random moments, again and again: the run ends with the weights of one that was never killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from cimnet.errors import CheckpointError
from cimnet.training import train
from cimnet.training.recipe import load_recipe
from cimnet.training.states import read_state, state_files
from tests.conftest import start_module, write_recipe
from tests.fakes.layouts import make_folder
from tests.training.same import same

KILLS = 5  # a test
TINY_MODEL = {"name": "pixel_mi", "widths": None, "decoder_channels": None, "dropout": 0.3}
TRAINING = {
    "epochs": 8,
    "batch_size": 2,
    "ema_decay": 0.9,
    "save_every": 1,
    "evaluate_every": 3,
    "warmup_iterations": 3,
    "milestones": [4],
    "deterministic": True,
}


def start(recipe: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    """Begin or go on, in a process of its own."""
    return start_module("tests.training.runner", recipe, out, "--resume", *options)


def kill_while(process: subprocess.Popen[str], out: Path, moment: str, steps: int, after: float) -> bool:
    """Kill after some steps: ``writing``, as soon as a temporary state is there; ``step``, a random time later. False
    if the run came to its end first."""
    assert process.stdout is not None
    for _ in range(steps):
        process.stdout.readline()
    if moment == "step":
        time.sleep(after)
    else:
        seen = 0.0
        while process.poll() is None and seen < 60:
            if any(out.glob(".last.*.part.pt")):
                break
            time.sleep(0.0005)
            seen += 0.0005
    alive = process.poll() is None
    process.kill()
    process.communicate(timeout=120)
    return alive


def whole_state(folder: Path) -> dict[str, Any]:
    for path in state_files(folder):
        try:
            return read_state(path)
        except CheckpointError:
            continue
    raise AssertionError(f"{folder}: no whole state")


@pytest.fixture(scope="module")
def never_killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The recipe, and the run that came to its end in one go."""
    folder = tmp_path_factory.mktemp("kill")
    recipe = write_recipe(
        folder / "recipe.yaml",
        make_folder(folder / "data", 14),
        model=TINY_MODEL,
        training=TRAINING,
        data={"workers": 1},
        augmentation={"modality_dropout": 0.5, "misalignment": 4, "corruption_prob": 0.5},
    )
    run = start(recipe, folder / "whole")
    assert run.communicate(timeout=120)[0].count("step") > 20
    assert run.returncode == 0
    return recipe, folder / "whole"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 5])  # their first kills are of both kinds
def test_many_kills(never_killed: tuple[Path, Path], tmp_path: Path, seed: int) -> None:
    """While steps are taken, while a state is written, with dataloader workers, before the first state."""
    recipe, whole = never_killed
    dice = random.Random(seed)
    log: list[dict[str, Any]] = []
    out = tmp_path / "killed"
    while sum(entry["killed"] for entry in log) < KILLS:
        moment = dice.choice(["step", "step", "writing"])
        steps, after = dice.randint(0 if moment == "writing" else 1, 5), 0.1 * dice.random()
        killed = kill_while(start(recipe, out, "--slow", "0.02"), out, moment, steps, after)
        saved = whole_state(out)["progress"]["step"] if state_files(out) else 0
        log.append({"moment": moment, "killed": killed, "step": saved, "half_written": len([*out.glob(".*.part*")])})
        if not killed and state_files(out):  # it ended; begin again in another folder, so that every kill hits a run
            _compare(whole, out)
            out = tmp_path / f"killed_{len(log)}"
    last = start(recipe, out)
    text = last.communicate(timeout=120)[0]
    assert last.returncode == 0, text
    _compare(whole, out)
    assert not [*out.glob(".*.part*")]
    assert sum(entry["half_written"] > 0 for entry in log) > 0, "no kill hit a state being written"
    writing = sum(entry["moment"] == "writing" for entry in log)
    print(f"\n{KILLS} kills: {len(log) - writing} after a step, {writing} while a state was written, of which ", end="")
    print(
        f"{sum(entry['half_written'] > 0 for entry in log)} left half a file; steps that were saved at each: ", end=""
    )
    print(*(entry["step"] for entry in log), "; weights and state equal to the last bit")


def _compare(whole: Path, other: Path) -> None:
    left, right = read_state(whole / "last.pt"), read_state(other / "last.pt")
    for state in (left, right):
        for row in state["progress"]["history"]:
            row.pop("seconds")
        state["progress"].pop("seconds")
    assert left.keys() == right.keys() >= {"module", "ema", "optimizer", "schedule", "progress"}
    for part in left:
        assert same(left[part], right[part]), part
    best = [(folder / "best.safetensors").read_bytes() for folder in (whole, other)]
    assert best[0] == best[1]
    logs = [list(map(json.loads, (folder / "log.jsonl").read_text().splitlines())) for folder in (whole, other)]
    for row in (row for rows in logs for row in rows):
        row.pop("seconds")
    assert logs[0] == logs[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_polite_signal_saves_and_says_how_to_go_on(tmp_path: Path, pixel: None, number: signal.Signals) -> None:
    """In the middle of an epoch, without ``save_every``. tests/utils/test_signals.py has both signals."""
    training = {**TRAINING, "save_every": 0, "batch_size": 1}
    path = write_recipe(
        tmp_path / "recipe.yaml", make_folder(tmp_path / "data", 10), model=TINY_MODEL, training=training
    )
    process = start(path, tmp_path / "run", "--slow", "0.05")
    assert process.stdout is not None
    for _ in range(3):
        process.stdout.readline()
    process.send_signal(number)
    text = process.communicate(timeout=120)[0]
    assert process.returncode == 0, text
    assert f"stopped by {number.name} after step" in text
    assert "--resume to resume" in text
    progress = read_state(tmp_path / "run" / "last.pt")["progress"]
    assert 3 <= progress["step"] <= 6
    assert progress["batch"] == progress["step"]
    steps: list[float] = []
    train(load_recipe(path), tmp_path / "whole")
    train(load_recipe(path), tmp_path / "run", resume=True, report=lambda row: steps.append(row["step"]))
    assert steps[0] == progress["step"] + 1
    _compare(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_to_the_whole_group_leaves_dataloader_workers_alone(tmp_path: Path, number: signal.Signals) -> None:
    """As a terminal's Ctrl-C, torchrun and schedulers send it."""
    training = {**TRAINING, "save_every": 0, "batch_size": 1}
    root = make_folder(tmp_path / "data", 10)
    recipe = write_recipe(tmp_path / "recipe.yaml", root, model=TINY_MODEL, training=training, data={"workers": 2})
    process = start(recipe, tmp_path / "run", "--slow", "0.1")
    assert process.stdout is not None
    for _ in range(2):
        process.stdout.readline()
    os.killpg(process.pid, number)
    text = process.communicate(timeout=120)[0]
    assert f"stopped by {number.name} after step" in text, text
    assert read_state(tmp_path / "run" / "last.pt")["progress"]["step"] >= 2


def test_a_damaged_newest_state_is_skipped_with_a_warning(tmp_path: Path, pixel: None) -> None:
    recipe = load_recipe(
        write_recipe(tmp_path / "r.yaml", make_folder(tmp_path / "data", 12), model=TINY_MODEL, training=TRAINING)
    )
    train(recipe, tmp_path / "whole")
    train(recipe, tmp_path / "run")
    last = tmp_path / "run" / "last.pt"
    content = bytearray(last.read_bytes())
    content[content.index(torch.load(last)["module"]["model.classify.weight"].numpy().tobytes())] ^= 1  # a single bit
    last.write_bytes(content)
    with pytest.warns(UserWarning, match=r"last\.pt: damaged training state \(checksum .*resuming from previous\.pt"):
        train(recipe, tmp_path / "run", resume=True)
    _compare(tmp_path / "whole", tmp_path / "run")
    assert (tmp_path / "run" / "last.damaged").is_file()  # put aside, so that it never takes the place of a whole one

    for path in state_files(tmp_path / "run"):
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"last\.pt: damaged training state; start a new run"):
        train(recipe, tmp_path / "run", resume=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(recipe, tmp_path / "whole", resume=True)  # nothing to do, nothing to warn of
