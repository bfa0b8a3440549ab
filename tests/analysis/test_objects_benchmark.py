"""The benchmark of objects: scores by image, the differences of models, and what is scored again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cimnet.errors import ConfigError
from cimnet.evaluation import BoxEvaluation
from cimnet.evaluation.box_scores import JudgedImage, JudgedObject
from tests.conftest import one_thread, write_recipe
from tests.fakes.layouts import CLASSES, make_folder

from .conftest import OpenScript

PERSON = CLASSES.index("person")


def evaluation(found: list[int], objects: int = 4, seen_in: str = "thermal") -> dict[str, Any]:
    """What is written of images that hold so many people each, of whom so many are found."""
    images = [
        JudgedImage(
            f"{number:03d}",
            "night",
            tuple(JudgedObject(PERSON, seen_in, 0.2 if k < count else 0.0) for k in range(objects)),
            np.zeros(len(CLASSES), np.int64),
            np.zeros(len(CLASSES), np.int64),
        )
        for number, count in enumerate(found)
    ]
    content: dict[str, Any] = json.loads(BoxEvaluation(tuple(CLASSES), images).to_json())
    return content


@pytest.fixture
def script(open_script: OpenScript) -> dict[str, Any]:
    return open_script("object_differences.py")


def test_the_difference_is_paired(script: dict[str, Any]) -> None:
    """Images differ much, the models by one person in each: only the interval of one model alone is wide."""
    random = np.random.default_rng(0)
    second = random.integers(0, 4, 40).tolist()
    first = [count + 1 for count in second]
    found = {"labels": {"A": {"0": evaluation(first)}, "B": {"0": evaluation(second)}, "C": {}}}
    entries = {entry["column"]: entry for entry in script["compare"](script["by_image"](found))}
    entry = entries["people seen by one camera alone, 10%"]
    assert (entry["first"], entry["second"], entry["seeds"]) == ("A", "B", ["0"])
    assert entry["difference"] == pytest.approx(0.25)
    assert entry["interval"] == pytest.approx((0.25, 0.25))
    one = next(row for row in found["labels"]["A"]["0"]["recall"] if row["seen_in"] == "one")["0.1"]
    assert one["interval"][1] - one["interval"][0] > 0.1
    assert entries["30%"]["difference"] == 0
    assert entries["people seen by both, 10%"]["difference"] is None
    table = script["difference_table"](list(entries.values()))
    assert "| labels | A − B | 1 | +25.0 [+25.0, +25.0] | +0.0 [+0.0, +0.0] |" in table


def test_seeds_are_averaged_and_images_matched(script: dict[str, Any]) -> None:
    turned = evaluation([1, 1, 3, 3])
    turned["by_image"].reverse()
    found = {
        "labels": {"A": {"0": evaluation([2, 2, 4, 4]), "1": evaluation([0, 0, 2, 2])}, "B": {"0": turned, "1": turned}}
    }
    entry = next(script["compare"](script["by_image"](found)))
    assert entry["seeds"] == ["0", "1"]
    assert (entry["difference"], entry["interval"]) == (0, (0, 0))
    counts = script["by_image"](found)[0]
    assert counts["images"] == ["000", "001", "002", "003"]
    assert counts["objects"] == [4] * 4
    assert counts["found"]["labels"] == {
        "A": {"0": [2, 2, 4, 4], "1": [0, 0, 2, 2]},
        "B": {"0": [1, 1, 3, 3], "1": [1, 1, 3, 3]},
    }


def test_one_model_on_two_kinds_of_labels(script: dict[str, Any]) -> None:
    """Models are compared on the same labels, and labels for the same model; nothing else."""
    found = {
        "pseudo-labels": {"A": {"0": evaluation([1, 1])}, "B": {"0": evaluation([2, 2])}},
        "with boxes": {"A": {"0": evaluation([3, 3])}},
    }
    entries = [e for e in script["compare"](script["by_image"](found)) if e["column"].endswith("alone, 10%")]
    named = {(e["labels"], e["first"], e["second"]): e["difference"] for e in entries}
    assert named == {
        ("pseudo-labels", "A", "B"): -0.25,
        ("both", "A with boxes", "A pseudo-labels"): 0.5,
    }


def test_runs_join_those_that_were_counted_before(script: dict[str, Any]) -> None:
    counted = [
        script["by_image"]({"labels": {model: {seed: evaluation(hits)}}})
        for model, seed, hits in (("B", "0", [1, 1]), ("A", "1", [2, 2]), ("B", "0", [3, 3]))
    ]
    joined: list[Any] = []
    for columns in counted:
        joined = script["join"](joined, columns, ["labels"], ["A", "B"])
    assert joined[0]["found"] == {"labels": {"A": {"1": [2, 2]}, "B": {"0": [3, 3]}}}
    assert list(joined[0]["found"]["labels"]) == ["A", "B"]
    others = script["by_image"]({"labels": {"A": {"0": evaluation([1, 1, 1])}}})
    with pytest.raises(ConfigError, match="counts of other images or boxes; choose another --json"):
        script["join"](joined, others, ["labels"], ["A", "B"])


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    monkeypatch.setattr("cimnet.training.run_folder.save_figure", lambda figure, path: None)
    root = make_folder(tmp_path / "data", 6)
    (root / "classes.yaml").unlink()  # its ids are those of the built-in list then
    lines = [f"{number:03d},person,0,0,9,9,night,thermal" for number in range(6)]
    (tmp_path / "b.csv").write_text("\n".join(["image,class,x0,y0,x1,y1,scene,seen_in", *lines]) + "\n")
    sections = {"training": {"epochs": 1}, "model": {"widths": None}, "data": {"allow_absent": True}}
    recipe = write_recipe(tmp_path / "r.yaml", root, **sections)
    places = ["--data", root, "--boxes", tmp_path / "b.csv", "--out", tmp_path / "runs", "--json", tmp_path / "o.json"]
    given = ["--recipe", recipe, "--encoder", "test_resnet", "--map", "person=person"]
    with one_thread():
        yield [str(w) for w in (*places, *given, "--labels", "pseudo-labels", "--models", "RGB only", "thermal only")]


def test_runs_without_images_are_scored_again(open_script: OpenScript, arguments: list[str], tmp_path: Path) -> None:
    main = open_script("objects.py")["main"]
    main([*arguments, "--seeds", "0"])
    content = json.loads((tmp_path / "o.json").read_text())
    assert {entry["first"] for entry in content["differences"]} == {"RGB only"}
    assert "by_image" not in content["labels"]["pseudo-labels"]["RGB only"]["0"]
    assert len(content["by_image"][0]["images"]) > 0
    scored = tmp_path / "runs" / "pseudo-labels" / "RGB_only_seed0" / "boxes.json"
    whole = json.loads(scored.read_text())
    scored.write_text(json.dumps({key: value for key, value in whole.items() if key != "by_image"}))
    trained = (scored.parent / "best.safetensors").stat().st_mtime_ns
    main([*arguments, "--seeds", "0"])
    assert json.loads(scored.read_text()) == whole
    assert (scored.parent / "best.safetensors").stat().st_mtime_ns == trained
    assert "| pseudo-labels | RGB only − thermal only | 1 |" in (tmp_path / "o.md").read_text()
