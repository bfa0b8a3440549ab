"""The comparison at equal budgets, with networks of a dozen weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import write_recipe
from tests.fakes.layouts import make_folder

from .conftest import OpenScript

PIXEL = {"widths": None, "decoder_channels": None}
NAMES = {"pixel_plain": "Pixel", "pixel_mi": "Pixel | MI"}


@pytest.fixture
def script(pixel: None, open_script: OpenScript) -> dict[str, Any]:
    found = open_script("equal_budgets.py")
    found["NETWORKS"].clear()
    found["NETWORKS"].update(NAMES)
    return found


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    root = make_folder(tmp_path / "data", 12)
    augmentation = {"crop": [480, 640], "scale": [1, 1], "color_jitter": [0, 0, 0, 0]}
    recipe = write_recipe(tmp_path / "tiny.yaml", root, model=PIXEL, augmentation=augmentation)
    places = ["--data", root, "--out", tmp_path / "runs", "--json", tmp_path / "evidence" / "equal.json"]
    return [str(part) for part in (recipe, *places, "--steps", 3, "--crop", 32, 40, "--seeds", 0, 1)]


def test_all_networks_with_equal_budgets(script: dict[str, Any], arguments: list[str], tmp_path: Path) -> None:
    script["main"]([*arguments, "--rates", "0.05", "0.0001"])
    content = json.loads((tmp_path / "evidence" / "equal.json").read_text())["tiny"]
    assert (content["steps"], content["batch"], content["crop"]) == (4, 3, [32, 40])  # two steps an epoch
    assert set(content["networks"]) == set(NAMES)
    for network, row in content["networks"].items():
        on_val = row["miou_on_val_by_rate"]
        assert set(on_val) == {"0.05", "0.0001"}
        assert on_val[f"{row['rate']:g}"] == max(on_val.values())
        assert set(row["miou"]) == set(row["iou"]) == {"0", "1"}
        assert row["parameters"] == 15
        for seed in row["miou"]:
            run = tmp_path / "runs" / f"{network}_rate{row['rate']:g}_seed{seed}"
            assert json.loads((run / "test.json").read_text())["miou"] == row["miou"][seed]
    table = (tmp_path / "evidence" / "equal.md").read_text()
    assert "Recipe tiny: 4 steps, batch 3, crops of 32×40" in table
    assert "| Pixel \\| MI | 0.0 |" in table


def test_finished_runs_are_kept(
    script: dict[str, Any], arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script["main"]([*arguments, "--rates", "0.05", "--networks", "pixel_plain"])
    first = capsys.readouterr().out
    weights = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("best.safetensors")}
    assert len(weights) == 2
    script["main"]([*arguments, "--rates", "0.05", "--networks", "pixel_plain", "pixel_mi"])
    assert all(path.stat().st_mtime_ns == before for path, before in weights.items())
    assert capsys.readouterr().out.count("Pixel") > first.count("Pixel")


def test_networks_join_those_of_an_equal_budget(script: dict[str, Any], arguments: list[str], tmp_path: Path) -> None:
    def networks() -> set[str]:
        return set(json.loads((tmp_path / "evidence" / "equal.json").read_text())["tiny"]["networks"])

    script["main"]([*arguments, "--rates", "0.05", "--networks", "pixel_plain"])
    script["main"]([*arguments, "--rates", "0.05", "--networks", "pixel_mi"])
    assert networks() == set(NAMES)
    other = [*arguments, "--rates", "0.01", "--out", str(tmp_path / "others")]
    script["main"]([*other, "--networks", "pixel_mi"])
    assert networks() == {"pixel_mi"}


def test_other_recipes_stay_in_the_files(script: dict[str, Any], arguments: list[str], tmp_path: Path) -> None:
    evidence = tmp_path / "evidence" / "equal.json"
    evidence.parent.mkdir()
    row = {"parameters": 15, "macs": 10, "rate": 1.0, "miou": {"0": 0.5}}
    other = {"steps": 9, "batch": 1, "crop": [8, 8], "networks": {"pixel_plain": row}}
    evidence.write_text(json.dumps({"other": other}))
    script["main"]([*arguments, "--rates", "0.05", "--networks", "pixel_mi"])
    assert json.loads(evidence.read_text())["other"] == other
    assert "Recipe other: 9 steps" in evidence.with_suffix(".md").read_text()
