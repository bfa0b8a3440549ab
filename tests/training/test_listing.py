"""`cimnet runs` and `cimnet train --seeds`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev

import pytest

from cimnet.errors import ConfigError, DataError
from cimnet.evaluation.spread import spread
from cimnet.training import train
from cimnet.training.run_folder import RunFolder
from cimnet.training.runs_table import by_seed, differences, find_runs, read_run, table
from cimnet.training.seeds import train_seeds
from cimnet.utils.files import write_text
from tests.conftest import Result, pixel_recipe, write_recipe


def test_seeds_are_trained_and_summed_up(root: Path, tmp_path: Path, pixel: None) -> None:
    recipe = pixel_recipe(root, training={"epochs": 1, "learning_rate": 0.1})
    runs = train_seeds(recipe, tmp_path / "runs", [3, 0])
    scores = [run.miou for run in runs]
    assert [run.recipe.training.seed for run in runs] == [3, 0]
    assert all(score is not None for score in scores)
    summary = json.loads((tmp_path / "runs" / "seeds.json").read_text())
    assert summary["miou"] == {"3": scores[0], "0": scores[1]}
    assert summary["mean"] == mean(scores)  # type: ignore[type-var]
    assert summary["standard_deviation"] == stdev(scores)  # type: ignore[type-var]

    before = (tmp_path / "runs" / "seed3" / "best.safetensors").stat().st_mtime_ns
    again = train_seeds(recipe, tmp_path / "runs", [3, 0, 1], resume=True)
    assert (tmp_path / "runs" / "seed3" / "best.safetensors").stat().st_mtime_ns == before
    assert [run.status for run in again] == ["finished"] * 3
    for seeds in ([], [1, 1]):
        with pytest.raises(ConfigError, match="different numbers"):
            train_seeds(recipe, tmp_path / "more", seeds)


def test_runs_are_listed_with_state_and_differences(root: Path, tmp_path: Path, pixel: None) -> None:
    out = tmp_path / "runs"
    for name, rate, seed in (("a", 0.1, 0), ("b", 0.1, 1), ("c", 0.01, 0)):
        train(pixel_recipe(root, training={"epochs": 2, "learning_rate": rate, "seed": seed}), out / name)
    write_text(out / "a" / "test.json", json.dumps({"miou": 0.5}))
    found = find_runs([out])
    assert [run.folder.name for run in found] == ["a", "b", "c"]
    assert differences(found) == ["training.learning_rate"]
    rows = [json.loads(line) for line in (out / "a" / "log.jsonl").read_text().splitlines()]
    first = found[0]
    assert first.miou == max(row["miou"] for row in rows)
    assert (first.status, first.epochs, first.starts, first.test) == ("finished", 2, 1, 0.5)
    assert [[run.folder.name for run in group] for group in by_seed(found)] == [["a", "b"], ["c"]]

    header, cells = table(found)
    assert header[-1] == "training.learning_rate"
    assert [row[-1] for row in cells] == ["0.1", "0.1", "0.01"]
    assert cells[0][header.index("mIoU on test")] == "50.0"
    header, cells = table(found, group=True)
    assert [row[header.index("seeds")] for row in cells] == ["0, 1", "0"]
    assert cells[0][header.index("mIoU on val")] == spread([found[0].miou, found[1].miou])
    assert "±" in cells[0][header.index("mIoU on val")]


def test_states_of_a_run(root: Path, tmp_path: Path, pixel: None) -> None:
    recipe = pixel_recipe(root, training={"epochs": 1})
    folder = RunFolder(tmp_path / "run")
    folder.lock()
    folder.describe(recipe, 0, 1)
    assert read_run(tmp_path / "run").status == "running"
    folder.unlock()
    assert read_run(tmp_path / "run").status == "begun"
    train(recipe, tmp_path / "run", resume=True)
    run = read_run(tmp_path / "run")
    assert (run.status, run.starts) == ("finished", 2)
    folder.describe(pixel_recipe(root, training={"epochs": 5}), 3, 1)
    assert read_run(tmp_path / "run").status == "stopped"


def test_nothing_to_list(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        find_runs([tmp_path / "gone"])
    with pytest.raises(DataError, match="it contains no runs"):
        find_runs([tmp_path])


def test_the_commands(root: Path, tmp_path: Path, pixel: None, cli: Callable[..., Result]) -> None:
    model = {"name": "pixel_mi", "widths": None, "decoder_channels": None}
    recipe = write_recipe(tmp_path / "r.yaml", root, model=model, training={"epochs": 1})
    done = cli("train", recipe, "--out", tmp_path / "runs", "--seeds", "0,1")
    assert done.code == 0, done.err
    assert "±" in done.out
    listed = cli("runs", tmp_path / "runs", "--sort", "miou", "--json", tmp_path / "runs.json")
    assert listed.code == 0
    content = json.loads((tmp_path / "runs.json").read_text())
    assert {run["seed"] for run in content} == {0, 1}
    assert content[0]["miou"] >= content[1]["miou"]
    assert cli("train", recipe, "--seeds", "0,x").code == 2
