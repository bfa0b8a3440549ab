"""The comparison of beginnings, with networks of a dozen weights."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cimnet.checkpoint import ModelInfo, save_checkpoint
from cimnet.errors import ConfigError
from cimnet.models import create_model
from cimnet.weights import locate
from tests.conftest import one_thread, write_recipe
from tests.fakes.layouts import CLASSES, make_folder, save_array

from .conftest import OpenScript

Script = dict[str, Any]
NAME = "cimnet_test_resnet"
SMALL: dict[str, Any] = {"widths": [16, 16, 20, 32], "decoder_channels": 16}


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_script: OpenScript) -> Iterator[Script]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cimnet.training.run_folder.save_figure", lambda figure, path: None)
    file = tmp_path / "starter.safetensors"
    _save_starter(file)
    monkeypatch.setattr(locate, "STARTER_FILE", file)
    found = open_script("transfer.py")
    found["DATA_SETS"]["mm5"] = replace(found["DATA_SETS"]["mm5"], folds=3, groups="auto")
    with one_thread():
        yield found


def _save_starter(file: Path) -> None:
    model = create_model(NAME, len(CLASSES), **SMALL)
    info = ModelInfo(NAME, SMALL, tuple(CLASSES), ((0, 0, 0),) * len(CLASSES), thermal_dtype="uint8")
    save_checkpoint(file, model, info, small=True)


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    root = make_folder(tmp_path / "data", 12)
    recipe = write_recipe(tmp_path / "tiny.yaml", root)
    words = [
        "mm5",
        "--data",
        root,
        "--out",
        tmp_path / "runs",
        "--json",
        tmp_path / "transfer.json",
        "--recipe",
        recipe,
    ]
    return [str(word) for word in (*words, "--steps", 1, "--shares", 50, 100)]


def test_both_beginnings_see_the_same_pairs(script: Script, arguments: list[str], tmp_path: Path) -> None:
    script["main"]([*arguments, "--runs", "2"])
    content = json.loads((tmp_path / "transfer.json").read_text())["mm5"]
    assert set(content["miou"]) == {"50", "100"}
    views = tmp_path / "runs" / "views"
    for share, scores in content["miou"].items():
        assert set(scores) == {"imagenet", "starter"}
        for beginning, runs in scores.items():
            assert set(runs) == {"0", "1"}
            for fold in runs:
                run = tmp_path / "runs" / f"mm5_{beginning}_{share}_fold{fold}_seed{fold}"
                assert (run / "weights.json").exists() == (beginning == "starter")
                lists = [(views / f"mm5_{share}_{fold}/{split}.txt").read_text().split() for split in ("train", "val")]
                record = json.loads((run / "data.json").read_text())
                assert [list(record["train"]), list(record["val"])] == lists
    for fold in "01":
        small, large = (set((views / f"mm5_{share}_{fold}/train.txt").read_text().split()) for share in (50, 100))
        assert small < large
        val, test = (set((views / f"mm5_100_{fold}/{split}.txt").read_text().split()) for split in ("val", "test"))
        assert (len(large), len(val), len(test)) == (4, 4, 4)
        assert len(large | val | test) == 12
    table = (tmp_path / "transfer.md").read_text()
    assert table.count("\n| 50 % | 2 |") == table.count("\n| 100 % | 2 |") == 1


def test_finished_runs_are_kept_and_another_starter_is_refused(
    script: Script, arguments: list[str], tmp_path: Path
) -> None:
    once = [*arguments[:-2], "100", "--runs", "1"]
    script["main"](once)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("best.safetensors")}
    assert len(before) == 2
    text = (tmp_path / "transfer.json").read_text()
    script["main"](once)
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())
    assert (tmp_path / "transfer.json").read_text() == text
    _save_starter(locate.STARTER_FILE)
    with pytest.raises(ConfigError, match="of another starter"):
        script["main"](once)


def test_another_machine_adds_what_is_missing(
    script: Script, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script["main"]([*arguments, "--runs", "1"])
    first = json.loads((tmp_path / "transfer.json").read_text())["mm5"]["miou"]
    capsys.readouterr()
    other = [str(tmp_path / "other") if word == str(tmp_path / "runs") else word for word in arguments]
    script["main"]([*other, "--runs", "2"])
    both = json.loads((tmp_path / "transfer.json").read_text())["mm5"]["miou"]
    said = capsys.readouterr().out
    assert "_fold1, seed" in said
    assert "_fold0, seed" not in said
    for share, scores in both.items():
        for beginning, runs in scores.items():
            assert list(runs) == ["0", "1"]
            assert runs["0"] == first[share][beginning]["0"]
    with pytest.raises(ConfigError, match=r"transfer\.json: its mm5 is made with other steps; choose another --json"):
        script["main"]([*other, "--steps", "2"])


def test_arrangements_are_in_one_fold(open_script: OpenScript, tmp_path: Path) -> None:
    """Frames of one arrangement may look unlike, since the turntable moves; their objects tell."""
    script = open_script("transfer.py")
    names = [f"{number:03d}" for number in range(12)]
    root = make_folder(tmp_path / "data", names=names)
    for number, name in enumerate(names):  # four arrangements of three frames
        save_array(root / "labels_fine" / f"{name}.png", np.full((4, 8), 1 + number // 3, np.uint8))
    options = argparse.Namespace(
        dataset="mm5", data=root, out=tmp_path / "runs", json=tmp_path / "t.json", set=[], steps=1,
        recipe=str(write_recipe(tmp_path / "tiny.yaml", root)),
    )  # fmt: skip
    script["DATA_SETS"]["mm5"] = replace(script["DATA_SETS"]["mm5"], folds=4)
    folds = script["Transfer"](options).folds()
    assert sorted(sorted(fold) for fold in folds) == [names[k : k + 3] for k in range(0, 12, 3)]
    assert "000,from 000" in (tmp_path / "runs" / "groups.csv").read_text()


def test_runs_on_other_folds_are_refused(script: Script, arguments: list[str], tmp_path: Path) -> None:
    once = [*arguments[:-2], "100", "--runs", "1"]
    script["main"](once)
    script["DATA_SETS"]["mm5"] = replace(script["DATA_SETS"]["mm5"], folds=4)
    with pytest.raises(ConfigError, match="runs: holds runs on other folds than these; choose another --out"):
        script["main"](once)
    other = [str(tmp_path / "other") if word == str(tmp_path / "runs") else word for word in once]
    with pytest.raises(ConfigError, match=r"transfer\.json: its mm5 is of other folds; choose another --json"):
        script["main"](other)
    (tmp_path / "runs" / "mm5_folds.json").unlink()  # from before the folds were recorded
    with pytest.raises(ConfigError, match="runs: holds runs on other folds"):
        script["main"](once)
