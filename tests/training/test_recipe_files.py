"""Recipes that build on others: what is merged, what is refused, and what those of the project come to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cimnet.errors import ConfigError
from cimnet.training import train
from cimnet.training.recipe import load_recipe, parse_recipe
from cimnet.training.recipe_files import read_recipe
from cimnet.training.run_folder import flat
from tests import ROOT
from tests.conftest import pixel_recipe
from tests.fakes.layouts import make_folder

RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


def _write(path: Path, **content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


@pytest.fixture
def base(tmp_path: Path) -> Path:
    data = {"root": "x", "thermal_range": [1, 2], "workers": 0}
    return _write(tmp_path / "base.yaml", data=data, training={"epochs": 7, "learning_rate": 0.1})


@pytest.mark.parametrize("name", ["base", "base.yaml", "../{folder}/base.yaml", "{absolute}"])
def test_only_what_a_recipe_writes_is_changed(base: Path, name: str) -> None:
    name = name.format(folder=base.parent.name, absolute=base)
    mine = _write(base.parent / "mine.yaml", base=name, training={"epochs": 3}, loss={"dice": 1.0})
    expected = {
        "data": {"root": "x", "thermal_range": [1, 2], "workers": 0},
        "training": {"epochs": 3, "learning_rate": 0.1},
        "loss": {"dice": 1.0},
    }
    assert load_recipe(mine) == parse_recipe(expected, "x")
    overridden = load_recipe(mine, ["training.epochs=5", "training.learning_rate=0.5"])
    assert (overridden.training.epochs, overridden.training.learning_rate) == (5, 0.5)


def test_chains_null_and_empty_headings(base: Path) -> None:
    _write(base.parent / "second.yaml", base="base", data={"thermal_range": None}, training=None)
    third = _write(base.parent / "deeper" / "third.yaml", base="../second", training={"learning_rate": 0.2})
    recipe = load_recipe(third)
    assert recipe.data.thermal_range is None  # null takes a value back
    assert recipe.data.workers == 0
    assert (recipe.training.epochs, recipe.training.learning_rate) == (7, 0.2)  # an empty heading changes nothing


def test_a_name_is_that_of_the_file_beside_the_recipe_or_of_the_package(tmp_path: Path) -> None:
    mine = _write(tmp_path / "mine.yaml", base="small_scenes", training={"epochs": 9})
    packaged = load_recipe("small_scenes", ["training.epochs=9"])
    assert load_recipe(mine) == packaged
    _write(tmp_path / "small_scenes.yaml", data={"root": "beside"})
    assert load_recipe(mine).data.root == Path("beside")


def test_a_recipe_may_have_the_name_of_its_base_in_the_package(tmp_path: Path) -> None:
    own = _write(tmp_path / "small_scenes.yaml", base="small_scenes", training={"epochs": 9})
    assert load_recipe(own) == load_recipe("small_scenes", ["training.epochs=9"])


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("nowhere", r"mine\.yaml: field 'base': there is no recipe 'nowhere'; .* or one of demo, kust4k_resnet101"),
        ("n" * 5000, r"mine\.yaml: field 'base': there is no recipe 'nnn"),
        ("a\0b", r"mine\.yaml: field 'base': there is no recipe"),
        ([1], r"mine\.yaml: field 'base': give the name or path of a recipe, got \[1\]"),
        ("", r"mine\.yaml: field 'base': give the name or path of a recipe, got ''"),
        ("mine", r"mine\.yaml: field 'base' leads in a circle \(.*mine\.yaml → .*mine\.yaml\)"),
    ],
)
def test_bases_that_cannot_be(tmp_path: Path, base: object, message: str) -> None:
    mine = _write(tmp_path / "mine.yaml", base=base)
    with pytest.raises(ConfigError, match=message) as caught:
        load_recipe(mine)
    assert len(str(caught.value)) < 1000


def test_a_circle_is_named_whole(tmp_path: Path) -> None:
    first = _write(tmp_path / "a.yaml", base="b")
    _write(tmp_path / "b.yaml", base="c")
    _write(tmp_path / "c.yaml", base="./a.yaml")
    with pytest.raises(ConfigError, match=r"c\.yaml: field 'base' .*a\.yaml → .*b\.yaml → .*c\.yaml → .*a\.yaml"):
        load_recipe(first)


def test_errors_name_the_file_that_holds_the_field(base: Path) -> None:
    _write(base, data={"root": "x"}, training={"epochs": -1, "seed": 0})
    mine = _write(base.parent / "mine.yaml", base="base", training={"seed": 1})
    with pytest.raises(ConfigError, match=r"recipe .*base\.yaml: field 'training\.epochs'.*got -1"):
        load_recipe(mine)
    with pytest.raises(ConfigError, match=r"recipe .*mine\.yaml: field 'training\.epochs'.*got -2"):
        load_recipe(mine, ["training.epochs=-2"])
    _write(mine, base="base", training={"epochs": 1, "sed": 1})
    with pytest.raises(ConfigError, match=r"recipe .*mine\.yaml: field 'training\.sed' does not exist"):
        load_recipe(mine)
    base.write_text("a: [", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"recipe .*base\.yaml: not valid YAML"):
        load_recipe(mine)


def test_the_run_folder_holds_the_merged_recipe(tmp_path: Path, pixel: None) -> None:
    whole = pixel_recipe(make_folder(tmp_path / "data", 12), training={"epochs": 1})
    _write(tmp_path / "whole.yaml", **whole.model_dump(mode="json", exclude_none=True))
    mine = _write(tmp_path / "mine.yaml", base="whole", training={"seed": 4})
    train(load_recipe(mine), tmp_path / "run")
    written = yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text(encoding="utf-8"))
    assert "base" not in written
    assert written["training"]["seed"] == 4
    assert load_recipe(tmp_path / "run" / "recipe.yaml") == load_recipe(mine)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_of_the_project_write_nothing_that_their_base_says(path: Path) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    base = content.pop("base", None)
    if base is None:
        return
    inherited = read_recipe(base).content
    for section, values in content.items():
        same = [field for field, value in values.items() if inherited.get(section, {}).get(field) == value]
        assert not same, f"{path.name}: {section}.{same[0]} is the base's"


def test_recipes_of_the_project_come_to_what_was_measured() -> None:
    """Scores in docs/ hold for these values, wherever in the chain they are written."""
    scenes = {
        "model.name": "cimnet_efficientnet_lite0",
        "model.dropout": 0.0,
        "data.cache": "ram",
        "augmentation.scale": [0.9, 1.2],
        "augmentation.rare_class_prob": 0.6,
        "loss.dice": 1.0,
        "training.batch_size": 4,
        "training.learning_rate": 0.002,
        "training.weight_decay": 0.02,
        "training.schedule": "poly",
        "training.clip_norm": 5.0,
    }
    fast = {"training.offset_rate": 0.05, "training.warmup_iterations": 20, "training.ema_decay": 0.97}
    mm5 = {"model.input_scale": 0.25, "data.thermal_range": [18000, 19000], "augmentation.crop": [128, 160]}
    mm5 |= {"loss.class_weights_end": 0.4, "training.epochs": 5, "training.weight_decay": 0.05, **fast}
    expected: dict[str, dict[str, Any]] = {
        "demo": {**scenes, **fast, "loss.class_weights_end": 1.0, "training.epochs": 3},
        "robust_scenes": {**scenes, **fast, "augmentation.misalignment": 20, "augmentation.modality_dropout": 0.5},
        "scenes": {**scenes, "training.offset_rate": 1.0, "training.ema_decay": 0.99, "training.epochs": 8},
        "small_scenes": {**scenes, **fast, "data.root": "data/late", "training.epochs": 2},
        "small_mm5": {**mm5, "augmentation.misalignment": 0.0},
        "robust_mm5": {**mm5, "augmentation.misalignment": 5, "augmentation.misalignment_prob": 0.5},
        "mfnet_mit_b4": {"data.layout": "mfnet", "training.milestones": [8, 11], "augmentation.scale": [1.0, 1.75]},
    }
    for name, values in expected.items():
        found = flat(load_recipe(name))
        assert {field: found[field] for field in values} == values, name
