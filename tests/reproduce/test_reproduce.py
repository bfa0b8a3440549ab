"""The paper's tables end to end on tiny fakes: train, score, print, go on, refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cimnet.errors import CimnetError, ConfigError
from cimnet.reproduce import reproduce
from cimnet.reproduce.runs import Variant, run_variants

from ..conftest import write_recipe
from ..fakes.layouts import make_folder, make_kust4k, make_mfnet, write_list

SHORT: dict[str, Any] = {"epochs": 1, "batch_size": 2, "evaluate_every": 1}


@pytest.fixture(scope="module")
def kust4k(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kust4K's layout in which the test split has all the groups that Tables IV and V need."""
    root = make_kust4k(tmp_path_factory.mktemp("kust4k"), 12)
    test = (root / "test.txt").read_text().split()
    write_list(root / "broke_RGB.txt", test[:1])
    write_list(root / "broke_TIR.txt", test[1:2])
    write_list(root / "weakly_aligned.txt", test[1:])
    (root / "broken_in_train_3.txt").unlink()
    return root


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, kust4k: Path) -> str:
    return str(write_recipe(tmp_path_factory.mktemp("recipe") / "tiny.yaml", kust4k, training=SHORT))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, kust4k: Path, recipe: str) -> Path:
    """A trained model to score without training."""
    out = tmp_path_factory.mktemp("model")
    run_variants([Variant("tiny")], recipe, kust4k, out, [0])
    return out / "tiny_seed0"


def _cells(text: str, begin: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {begin}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.slow
def test_table3_trains_rows_and_goes_on(tmp_path: Path, kust4k: Path, recipe: str) -> None:
    said: list[str] = []
    reproduce("table3", kust4k, tmp_path, budget=recipe, seeds=[0], rows=[1, 8], say=said.append)
    assert [line.split(",")[0] for line in said] == ["row1", "row8"]
    before = (tmp_path / "row1_seed0" / "best.safetensors").stat().st_mtime_ns
    text = reproduce("table3", kust4k, tmp_path, budget=recipe, seeds=[0, 1], rows=[1, 8])
    assert (tmp_path / "row1_seed0" / "best.safetensors").stat().st_mtime_ns == before
    assert text == (tmp_path / "table3.md").read_text(encoding="utf-8")
    scores = json.loads((tmp_path / "table3.json").read_text())
    assert {name: len(found) for name, found in scores.items()} == {"row1": 2, "row8": 2}
    first, last = _cells(text, "1 "), _cells(text, "8 ")
    assert first[1:5] == ["", "", "", ""]
    assert last[1:5] == ["✓"] * 4
    means = [100 * sum(s["miou"] for s in scores[name]) / 2 for name in ("row1", "row8")]
    assert [float(cells[7].split(" ± ")[0]) for cells in (first, last)] == pytest.approx(means, abs=0.051)
    assert float(last[8].split(" ± ")[0]) == pytest.approx(means[1] - means[0], abs=0.051)
    assert (first[5], last[5], last[6]) == ("70.5", "77.5", "+7.0")
    assert _cells(text, "3*")[7:] == ["–", "", "0"]


def test_rows_switch_their_parts(kust4k: Path, recipe: str) -> None:
    """Each row's settings build a model that has what the row marks, and nothing else."""
    from cimnet.config import load_recipe
    from cimnet.models import CIMNet, create_model
    from cimnet.reproduce.paper import TABLE3

    for row in TABLE3:
        settings = load_recipe(recipe, row.overrides())
        built = create_model(settings.model.name, 9, **settings.model.options())
        assert isinstance(built, CIMNet)
        assert (built.cipa.mi_head is not None) == row.mir
        assert (built.cipa.offset is not None) == (row.msm and row.swr)
        assert all((stage.spatial is not None) == row.swr for stage in built.scsfr)
        assert all((stage.channel is not None) == row.cwr for stage in built.scsfr)
        assert (len(built.leave_rgb) > 0) == (row.swr or row.cwr)


def test_table2(tmp_path: Path, kust4k: Path, model: Path) -> None:
    text = reproduce("table2", kust4k, tmp_path, checkpoints=[model])
    scores = json.loads((tmp_path / "table2.json").read_text())["here"][0]
    here = _cells(text, "**here**")
    assert here[-1] == f"{100 * scores['miou']:.1f}"
    assert here[3] == f"{100 * scores['iou']['road']:.1f}"
    assert 0 < float(here[1]) < 20
    assert 0 < float(here[2]) < 20
    paper = _cells(text, "CIMNet (ResNet-101), paper")
    assert paper[1:] == ["110.9", "132.4", "95.7", "85.8", "68.3", "90.2", "88.6", "86.2", "34.9", "61.0", "77.5"]


def test_table4(tmp_path: Path, kust4k: Path, model: Path) -> None:
    text = reproduce("table4", kust4k, tmp_path, checkpoints=[model])
    scores = json.loads((tmp_path / "table4.json").read_text())["here"][0]
    weak = scores["groups"]["weakly_aligned"]
    here = _cells(text, "**here**")
    assert here[1] == str(weak["images"]) == "2"
    assert here[2] == f"{100 * weak['iou']['road']:.1f}"
    lost = _cells(text, "here, against")
    assert float(lost[2]) == pytest.approx(100 * (weak["iou"]["road"] - scores["iou"]["road"]), abs=0.051)
    assert _cells(text, "CIMNet, paper, against")[-2:] == ["-0.7", "-1.4"]  # as the text says of cars


def test_table5(tmp_path: Path, kust4k: Path, model: Path) -> None:
    text = reproduce("table5", kust4k, tmp_path, checkpoints=[model])
    groups = json.loads((tmp_path / "table5.json").read_text())["here"][0]["groups"]
    broken = [f"{100 * groups[name]['miou']:.1f}" for name in ("rgb_broken", "thermal_broken")]
    assert _cells(text, "**here**")[1:] == broken
    assert _cells(text, "CIMNet, paper")[1:] == ["69.1", "46.2"]


def test_a_subset_that_is_missing_is_named(tmp_path: Path, kust4k: Path, model: Path) -> None:
    for path in ("broke_TIR.txt", "weakly_aligned.txt"):
        (kust4k / path).rename(tmp_path / path)
    try:
        with pytest.raises(CimnetError, match=r"thermal_broken.*broke_TIR\.txt"):
            reproduce("table5", kust4k, tmp_path / "out", checkpoints=[model])
        with pytest.raises(CimnetError, match=r"weakly_aligned\.txt"):
            reproduce("table4", kust4k, tmp_path / "out", checkpoints=[model])
    finally:
        for path in ("broke_TIR.txt", "weakly_aligned.txt"):
            (tmp_path / path).rename(kust4k / path)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_table6_trains_by_a_recipe(tmp_path: Path) -> None:
    data = make_mfnet(tmp_path / "mfnet", 12)
    recipe = write_recipe(tmp_path / "tiny.yaml", data, training=SHORT)
    text = reproduce("table6", data, tmp_path / "out", budget=str(recipe), seeds=[0])
    scores = json.loads((tmp_path / "out" / "table6.json").read_text())["here"][0]
    assert _cells(text, "**here**")[-1] == f"{100 * scores['miou']:.1f}"
    for name in ("day", "night"):
        assert _cells(text, name)[2] == f"{100 * scores['groups'][name]['miou']:.1f}"
    assert _cells(text, "CIMNet (MiT-B4), paper")[-1] == "60.9"


def test_another_data_sets_classes_are_refused(tmp_path: Path, trained: Any) -> None:
    with pytest.raises(CimnetError, match=r"table2.*road"):
        reproduce("table2", trained.root, tmp_path, checkpoints=[trained.folder])


def test_another_recipe_in_the_same_folder_is_refused(tmp_path: Path, kust4k: Path, recipe: str, model: Path) -> None:
    with pytest.raises(ConfigError, match="another recipe"):
        run_variants([Variant("tiny")], recipe, kust4k, model.parent, [0], ["training.learning_rate=0.5"])


def test_a_users_folder_is_not_deleted(tmp_path: Path, kust4k: Path, recipe: str) -> None:
    theirs = tmp_path / "tiny_seed0" / "notes.txt"
    theirs.parent.mkdir()
    theirs.write_text("keep")
    with pytest.raises(CimnetError, match="not empty"):
        run_variants([Variant("tiny")], recipe, kust4k, tmp_path, [0])
    assert theirs.read_text() == "keep"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"table": "table1"}, "no table"),
        ({"table": "table3", "rows": [9]}, "no row 9"),
        ({"table": "table3", "rows": []}, "has no rows"),
        ({"table": "table3", "checkpoints": [Path("x")]}, "no checkpoints"),
    ],
)
def test_what_cannot_be_run(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        reproduce(data=tmp_path, out=tmp_path, **arguments)


def test_the_command(tmp_path: Path, cli: Callable[..., Any], kust4k: Path, model: Path) -> None:
    result = cli("reproduce", "table5", "--data", kust4k, "--out", tmp_path, "--checkpoint", model)
    assert result.code == 0
    assert "RGB failure" in result.out
    assert (tmp_path / "table5.md").is_file()
    refused = cli("reproduce", "table3", "--data", kust4k, "--rows", "one")
    assert refused.code == 2
    assert "--rows one" in refused.err


def test_broken_labels_stop_before_training(tmp_path: Path, recipe: str) -> None:
    data = make_folder(tmp_path / "data", 8)
    Image.new("L", (40, 32), 77).save(data / "labels" / "000.png")
    with pytest.raises(CimnetError, match="id 77"):
        run_variants([Variant("tiny")], recipe, data, tmp_path / "out", [0])
