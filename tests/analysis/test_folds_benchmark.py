"""The benchmark that cross-validates many models: its groups, its tables, and that it goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cimnet.errors import ConfigError
from tests.conftest import write_recipe
from tests.fakes.layouts import make_folder, save_array

from .conftest import OpenScript

PIXEL = {"widths": None, "decoder_channels": None}
NAMES = ("1_1", "1_2", "1_8", "1_10", "2_11-1", "2_16-1", "2_16-2", "c_12", "c_30", "e_2", "e_3")


@pytest.fixture
def script(pixel: None, open_script: OpenScript) -> dict[str, Any]:
    found = open_script("cross_validation.py")
    model = found["Model"]
    found["MODELS"].clear()
    found["MODELS"] |= {
        "cimnet": model("First", ("model.name=pixel_mi",), ""),
        "other": model("Other | one", ("model.name=pixel_plain", "training.learning_rate=0.3")),
    }
    return found


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    root = make_folder(tmp_path / "data", names=NAMES)
    recipe = write_recipe(tmp_path / "tiny.yaml", root, model=PIXEL, training={"ema_decay": 0})
    places = ["--data", root, "--out", tmp_path / "runs", "--json", tmp_path / "evidence" / "folds.json"]
    given = ["apple", *places, "--recipe", recipe, "--set", "augmentation.crop=[32,40]", "--steps", 6, "--seeds", 0]
    return [str(part) for part in given]


def test_every_model_on_the_same_folds(script: dict[str, Any], arguments: list[str], tmp_path: Path) -> None:
    script["main"](arguments)
    content = json.loads((tmp_path / "evidence" / "folds.json").read_text())["apple"]
    assert (content["folds"], content["groups"], content["images"], content["epochs"]) == (6, 6, 11, 3)
    assert set(content["models"]) == {"cimnet", "other"}
    other = content["models"]["other"]
    assert other["against"]["model"] == "cimnet"
    assert other["against"]["difference"] == pytest.approx(
        other["miou"]["mean"] - content["models"]["cimnet"]["miou"]["mean"]
    )
    assert list(other["on_val_by_epoch"]) == ["1", "2", "3"]
    assert "against" not in content["models"]["cimnet"]
    table = (tmp_path / "evidence" / "folds.md").read_text()
    assert "apple: 11 images in 6 groups, 6 folds, 3 epochs of batches of 3" in table
    assert "| Other \\| one | " in table
    assert sorted(path.name for path in (tmp_path / "data").glob("*")) == [
        "classes.yaml", "labels", "rgb", "test.txt", "thermal", "train.txt", "val.txt",
    ]  # fmt: skip


def test_it_goes_on_and_refuses_other_folds(
    script: dict[str, Any], arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script["main"]([*arguments, "--models", "cimnet"])
    kept = (tmp_path / "runs" / "cimnet" / "seed0" / "fold0" / "best.safetensors").stat().st_mtime_ns
    capsys.readouterr()
    script["main"]([*arguments, "--models", "other"])
    models = json.loads((tmp_path / "evidence" / "folds.json").read_text())["apple"]["models"]
    assert list(models) == ["cimnet", "other"]
    assert models["other"]["against"]["groups"] == 6
    assert "seed 0, fold 0 of 6" in capsys.readouterr().out
    script["main"](arguments)
    assert "seed 0, fold" not in capsys.readouterr().out  # nothing is left to do
    assert (tmp_path / "runs" / "cimnet" / "seed0" / "fold0" / "best.safetensors").stat().st_mtime_ns == kept
    with pytest.raises(ConfigError, match="holds other folds than these options give; choose another --out"):
        script["main"]([*arguments, "--folds", "3"])


def test_another_machine_adds_seeds_to_what_is_kept(
    script: dict[str, Any], arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script["main"](arguments)
    first = json.loads((tmp_path / "evidence" / "folds.json").read_text())["apple"]["models"]
    assert str(tmp_path) not in "".join(path.read_text() for path in (tmp_path / "evidence").rglob("*.json"))
    shutil.rmtree(tmp_path / "runs")
    capsys.readouterr()
    script["main"]([*arguments, "--seeds", "0", "1", "--models", "cimnet", "other"])
    assert "seed 0, fold" not in capsys.readouterr().out
    both = json.loads((tmp_path / "evidence" / "folds.json").read_text())["apple"]["models"]
    for name in ("cimnet", "other"):
        assert both[name]["seeds"] == [0, 1]
        assert both[name]["miou_by_seed"]["0"] == first[name]["miou_by_seed"]["0"]
        assert both[name]["on_val_by_epoch"]
    assert both["other"]["against"]["groups"] == 6


def test_parts_of_the_orchard(script: dict[str, Any], tmp_path: Path) -> None:
    found = script["orchard_parts"](make_folder(tmp_path, names=NAMES))
    parts = ["1_1 to 1_7"] * 2 + ["1_8 to 1_10"] * 2 + ["2_11", "2_16", "2_16", "c", "c", "e", "e"]
    assert [found[name] for name in NAMES] == parts


def test_arrangements_are_found_by_their_objects(script: dict[str, Any], tmp_path: Path) -> None:
    """Objects are added and hidden within an arrangement; others begin the next one."""
    held = [{1}, {1, 2}, {1, 2, 4}, {2}, {3}, {3, 5}, {5, 6}, {5, 6}, {1}]
    for number, objects in enumerate(held):
        label = np.zeros((4, 8), np.uint8)
        label[0, : len(objects)] = sorted(objects)
        label[3] = 255
        save_array(tmp_path / "labels_fine" / f"{number:03d}.png", label)
    found = script["arrangements"](tmp_path)
    assert list(found.values()) == [f"from {n:03d}" for n in (0, 0, 0, 0, 4, 4, 6, 6, 8)]
