"""SIGKILL at random moments, again and again: the result is that of a cross-validation that was never killed."""

from __future__ import annotations

import json
import random
import subprocess
import time
from pathlib import Path

import pytest

from cimnet.analysis.cross_validation.held_out import read_held_out
from tests.conftest import start_module, write_recipe

KILLS = 4
MODEL = {"name": "pixel_mi", "widths": None, "decoder_channels": None, "dropout": 0.3}


def start(recipe: Path, out: Path) -> subprocess.Popen[str]:
    return start_module("tests.analysis.cross_validation.runner", recipe, out)


@pytest.mark.slow
def test_killed_again_and_again(root: Path, tmp_path: Path) -> None:
    training = {"epochs": 3, "batch_size": 2, "save_every": 1, "warmup_iterations": 2}
    recipe = write_recipe(tmp_path / "r.yaml", root, model=MODEL, training=training)
    whole = start(recipe, tmp_path / "whole")
    assert whole.communicate(timeout=300)[0].count("step") > 30
    dice, kills = random.Random(0), 0
    for _ in range(KILLS):
        process = start(recipe, tmp_path / "killed")
        assert process.stdout is not None
        for _ in range(dice.randint(3, 14)):
            process.stdout.readline()
        time.sleep(0.1 * dice.random())
        kills += process.poll() is None
        process.kill()
        process.communicate(timeout=120)
    assert kills >= KILLS - 1
    last = start(recipe, tmp_path / "killed")
    text = last.communicate(timeout=300)[0]
    assert last.returncode == 0, text
    first, second = (
        json.loads((tmp_path / name / "cross_validation.json").read_text()) for name in ("whole", "killed")
    )
    assert first == second
    images = [read_held_out(tmp_path / name / "images.npz", "") for name in ("whole", "killed")]
    assert images[0].ids == images[1].ids
    assert (images[0].matrices == images[1].matrices).all()
