"""Recipes: defaults of the paper, errors that name the field, overrides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cimnet.errors import ConfigError
from cimnet.models import create_model
from cimnet.models.zoo.cmx import CMX
from cimnet.models.zoo.eaefnet import EAEFNet
from cimnet.training.recipe import Recipe, load_recipe, parse_recipe
from cimnet.training.recipe_files import shipped_recipes
from cimnet.training.recipe_sections import PUBLISHED_OPTIONS
from tests import ROOT

RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
DATA = {"root": "somewhere"}


def _write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_are_the_papers() -> None:
    recipe = parse_recipe({"data": DATA}, "x")
    training = recipe.training
    assert recipe.model.name == "cimnet_resnet101"
    assert (training.epochs, training.batch_size, training.learning_rate) == (12, 4, 1e-4)
    assert (training.weight_decay, training.warmup_iterations) == (0.05, 500)
    assert (training.schedule, training.milestones, training.gamma) == ("step", (8, 11), 0.1)
    assert recipe.loss.initial_weight == 0.1
    assert recipe.loss.dice == 0
    assert recipe.model.options() == {"pretrained": True}


def test_a_recipe_survives_the_way_through_yaml(tmp_path: Path) -> None:
    content = {
        "model": {"name": "cimnet_mit_b0", "widths": [8, 8, 8, 8], "mutual_information": "off"},
        "data": {**DATA, "classes": ["a", "b"], "thermal_range": [18000, 22300]},
        "training": {"milestones": [2, 3], "mixed_precision": "no"},
    }
    recipe = parse_recipe(content, "x")
    text = yaml.safe_dump(recipe.model_dump(mode="json", exclude_none=True))
    assert load_recipe(_write(tmp_path, text)) == recipe


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_of_the_project_are_valid(path: Path) -> None:
    assert isinstance(load_recipe(path), Recipe)


def test_yaml_reads_no_and_off_as_false_where_they_are_choices(tmp_path: Path) -> None:
    path = _write(tmp_path, "data: {root: x}\nmodel: {mutual_information: off}\ntraining: {mixed_precision: no}\n")
    recipe = load_recipe(path)
    assert recipe.training.mixed_precision == "no"
    assert recipe.model.mutual_information == "off"
    assert recipe.model.options()["mutual_information"] is None
    assert load_recipe(path, ["model.mutual_information=cooperative"]).model.mutual_information == "cooperative"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("small_cmx_mit_b0", "head_eps: 1.0e-3"),
        ("small_eaefnet_resnet18", "gate: batch, use_se: training"),
        ("eaefnet_pst_resnet50", "gate: batch, heads: sum"),
    ],
)
def test_options_of_published_networks(tmp_path: Path, name: str, options: str) -> None:
    """What their authors trained with can be set, and every model that has no such option refuses it."""
    text = f"data: {{root: x}}\nmodel: {{name: {name}, pretrained: false, channel_order: bgr, {options}}}\n"
    model = load_recipe(_write(tmp_path, text)).model
    assert set(model.options()) - {"pretrained"} <= PUBLISHED_OPTIONS
    built = create_model(name, 3, **model.options())
    if name == "small_cmx_mit_b0":
        assert isinstance(built, CMX)
        assert built.decoder.mix[1].eps == 1e-3
    else:
        assert isinstance(built, EAEFNet)
        assert [fusion.gate_of for fusion in built.fusions] == ["batch"] * 5
        assert built.head_high.use_se == model.options().get("use_se", True)
        assert getattr(built, "heads", None) == model.options().get("heads")
    for option in set(model.options()) - {"pretrained"}:
        with pytest.raises(ConfigError, match=option):
            create_model("addition_resnet18", 3, **{option: model.options()[option]})


def test_a_heading_with_nothing_below_it_is_a_section_of_defaults(tmp_path: Path) -> None:
    path = _write(tmp_path, "data: {root: x}\ntraining:\nloss:\n")
    recipe = load_recipe(path, ["training.epochs=3"])
    assert recipe == parse_recipe({"data": {"root": "x"}, "training": {"epochs": 3}}, "x")


def test_overrides_are_yaml_and_the_last_wins(tmp_path: Path) -> None:
    path = _write(tmp_path, "data: {root: x}\n")
    recipe = load_recipe(
        path,
        [
            "training.epochs=5",
            "training.epochs=3",
            "training.learning_rate=1e-3",
            "model.widths=[16, 16, 20, 32]",
            "data.root=a=b",
            "augmentation.rare_classes=[human]",
            "augmentation.rare_class_prob=0.5",
        ],
    )
    assert recipe.training.epochs == 3
    assert recipe.training.learning_rate == 1e-3
    assert recipe.model.widths == (16, 16, 20, 32)
    assert recipe.data.root == Path("a=b")
    assert recipe.augmentation.rare_classes == ("human",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"data": DATA, "training": {"epoch": 3}}, r"'training\.epoch' does not exist, did you mean 'epochs'\?"),
        ({"data": DATA, "trainning": {}}, r"'trainning' does not exist, did you mean 'training'\?"),
        ({"data": DATA, "loss": {"zzz": 1}}, r"'loss\.zzz' does not exist; allowed: mutual_information_weight, "),
        ({"data": DATA, "training": {"learning_rate": -1}}, r"'training\.learning_rate': .*greater than 0, got -1$"),
        ({"data": DATA, "training": {"epochs": 2.5}}, r"'training\.epochs': .*got 2\.5$"),
        ({"data": DATA, "augmentation": {"hflip": 1.5}}, r"'augmentation\.hflip': .*less than or equal to 1"),
        ({"data": DATA, "model": {"widths": [1, 2]}}, r"'model\.widths\.2'"),
        ({"data": DATA, "training": 3}, r"'training': .*dictionary"),
        ({"data": DATA, "training": {"learning_rate": float("inf")}}, r"'training\.learning_rate': .*finite"),
        ({"data": DATA, "training": {"milestones": [11, 8]}}, r"'training\.milestones': .*ascend"),
        ({"data": DATA, "training": {"seed": 2**32}}, r"'training\.seed': .*less than 4294967296"),
        ({"data": DATA, "augmentation": {"scale": [2, 1]}}, r"'augmentation\.scale': .*0 < low <= high"),
        ({"data": {**DATA, "thermal_range": [5, 1]}}, r"'data\.thermal_range': .*ascend"),
        ({"data": {}}, r"field 'data\.root' is missing$"),
        ({}, r"field 'data' is missing$"),
        ({"data": DATA, "loss": {"dice": -1, "label_smoothing": 2}}, r"'loss\.dice': .*\(and 1 more\)$"),
    ],
)
def test_errors_name_recipe_and_field(content: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse_recipe(content, "my.yaml")
    assert str(caught.value).startswith("recipe my.yaml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "other", "off"),
    [
        ("augmentation.rare_class_prob", 1.0, "rare_classes", []),
        ("augmentation.rare_classes", ["person"], "rare_class_prob", 0),
        ("augmentation.misalignment_prob", 1.0, "misalignment", 0),
        ("augmentation.corruptions", ["fog"], "corruption_prob", 0),
        ("loss.class_weights_end", 0.4, "class_weights", "none"),
        ("model.encoder.adapter_width", 8, "adapter", "none"),
    ],
)
def test_a_field_without_the_one_it_needs(tmp_path: Path, field: str, value: object, other: str, off: object) -> None:
    """To switch the other one off is a choice, and defaults are always allowed, as in the recipe of a run."""
    path = _write(tmp_path, "data: {root: x}\n")
    section, _, name = field.rpartition(".")
    with pytest.raises(ConfigError, match=f"'{section}': .*{name} has no effect without {other}; give {other} as") as e:
        load_recipe(path, [f"{field}={json.dumps(value)}"])
    assert "\n" not in str(e.value)
    switched_off = load_recipe(path, [f"{field}={json.dumps(value)}", f"{section}.{other}={json.dumps(off)}"])
    text = yaml.safe_dump(switched_off.model_dump(mode="json", exclude_none=True))
    assert load_recipe(_write(tmp_path, text)) == switched_off
    default: Any = load_recipe(_write(tmp_path, "data: {root: x}\n"))
    for part in section.split("."):
        default = getattr(default, part)
    load_recipe(path, [f"{field}={json.dumps(default.model_dump(mode='json')[name])}"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epochs", "write it as section.field=value"),
        ("epochs=3", "write it as section.field=value"),
        ("=3", "write it as section.field=value"),
        ("data.root.x=3", "'root' is not a section"),
        ("training.epochs=[1", "the value is not valid YAML"),
        ("training.epoch=3", "'training.epoch' does not exist, did you mean 'epochs'"),
    ],
)
def test_overrides_that_cannot_be(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe(_write(tmp_path, "data: {root: x}\n"), [override])


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [", "not valid YAML"), ("- 1\n", "must hold sections"), ("", "must hold sections"), ("\x00", "not valid")],
)
def test_files_that_hold_no_recipe(tmp_path: Path, text: str, message: str) -> None:
    path = _write(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_recipe(path)
    assert str(path) in str(caught.value)


def test_unreadable_recipes(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"data: {root: B\xe4ume}\n")
    for path in (tmp_path / "none.yaml", tmp_path, tmp_path / "latin.yaml"):
        with pytest.raises(ConfigError, match="cannot be read") as caught:
            load_recipe(path)
        assert str(path) in str(caught.value)


def test_a_recipe_of_the_package_is_found_by_name_wherever_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sorted(shipped_recipes()) == [path.stem for path in RECIPES]
    assert load_recipe("kust4k_resnet101") == load_recipe(next(p for p in RECIPES if p.stem == "kust4k_resnet101"))
    with pytest.raises(ConfigError, match=r"kust4k_resnet50: cannot be read .*names .*kust4k_resnet101"):
        load_recipe("kust4k_resnet50")
