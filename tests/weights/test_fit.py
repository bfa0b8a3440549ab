"""Begin with other weights: what is taken, by which names, what is said and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch

import cimnet
from cimnet.checkpoint import ModelInfo, identity, load_checkpoint, save_checkpoint
from cimnet.errors import CheckpointError, ConfigError, Stopped
from cimnet.models import create_model
from cimnet.models.zoo import PUBLICATIONS
from cimnet.models.zoo.network import ZooNetwork
from cimnet.training import train
from cimnet.training.recipe import load_recipe
from cimnet.weights import fit as room
from cimnet.weights.fit import create_from, open_source
from tests.conftest import Trained, tiny_recipe, write_recipe
from tests.fakes.small_timm import small_networks
from tests.training.same import same

NAME = "cimnet_test_resnet"
SMALL: dict[str, Any] = {"widths": (16, 16, 20, 32), "decoder_channels": 16}
CLASSES = ("ground", "tree", "car")
ZOO = "small_cmx_mit_b0"


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    with small_networks():
        yield


def _save(path: Path, name: str = NAME, classes: tuple[str, ...] = CLASSES, **options: Any) -> Path:
    torch.manual_seed(5)
    model = create_model(name, len(classes), **options)
    model.set_thermal_statistics(0.1, 0.9)
    save_checkpoint(path, model, ModelInfo(name, options, classes, ((0, 0, 0),) * len(classes)))
    return path


def test_all_of_it(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.safetensors", **SMALL)
    model, fit = create_from(open_source(str(path), NAME), NAME, CLASSES, pretrained=True, **SMALL)
    given, _ = load_checkpoint(path)
    done, of = fit.parameters
    assert done == of == sum(p.numel() for p in model.parameters())
    assert (fit.random, fit.partial, fit.unused, fit.classes) == ((), (), (), CLASSES)
    assert fit.sha256 == identity(path)
    for key, value in given.state_dict().items():
        same = torch.equal(model.state_dict()[key], value)
        assert same != key.startswith("thermal_"), key  # the images' statistics are those of the new data
    assert fit.sentence().endswith("parameters; classifier of ground, tree, car")
    assert not fit.by_number


def test_another_decoder_and_no_head_of_mutual_information(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.safetensors", mutual_information=None, **SMALL)
    options = SMALL | {"decoder_channels": 24}
    model, fit = create_from(open_source(str(path), NAME), NAME, CLASSES, **options)
    given, _ = load_checkpoint(path)
    assert same(model.encoder_rgb.state_dict(), given.encoder_rgb.state_dict())
    assert {key.partition(".")[0] for key in fit.random} == {"cipa", "decoder"}
    done, of = fit.parameters
    assert 0 < done < of
    assert "at random: " in fit.sentence()
    assert "decoder (" in fit.sentence()


def test_rows_of_the_classifier_by_name(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.safetensors", **SMALL)
    classes = ("Car", "water", "ground", "person")
    model, fit = create_from(open_source(str(path), NAME), NAME, classes, **SMALL)
    given, _ = load_checkpoint(path)
    assert fit.classes == ("Car", "ground")
    assert fit.partial
    for key in fit.partial:
        ours, theirs = model.state_dict()[key], given.state_dict()[key]
        assert torch.equal(ours[0], theirs[2])
        assert torch.equal(ours[2], theirs[0])
        assert not any(torch.equal(ours[k], row) for k in (1, 3) for row in theirs)
    assert not set(fit.partial) & {*fit.loaded, *fit.random}


def test_as_many_classes_of_other_names_are_not_taken_by_number(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.safetensors", **SMALL)
    _, fit = create_from(open_source(str(path), NAME), NAME, ("water", "person", "sky"), **SMALL)
    assert (fit.classes, fit.partial) == ((), ())
    assert len(fit.random) == 2  # weight and bias of the classifier
    turned = ("car", "tree", "ground")
    model, fit = create_from(open_source(str(path), NAME), NAME, turned, **SMALL)
    assert fit.classes == turned
    given, _ = load_checkpoint(path)
    key = next(key for key in fit.loaded if model.state_dict()[key].shape[:1] == (3,) and key.startswith("decoder"))
    assert torch.equal(model.state_dict()[key], given.state_dict()[key].flip(0))


def test_nothing_fits(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.safetensors", ZOO)
    with pytest.raises(CheckpointError, match=r"a\.safetensors: no layer below the classifier fits the model"):
        create_from(open_source(str(path), NAME), NAME, CLASSES, **SMALL)


def test_what_cannot_be_begun_with(tmp_path: Path, trained: Trained) -> None:
    (tmp_path / "a.onnx").touch()
    with pytest.raises(CheckpointError, match="an exported file"):
        open_source(str(tmp_path / "a.onnx"), NAME)
    with pytest.raises(CheckpointError, match=r"no such file"):
        open_source(str(tmp_path / "none.safetensors"), NAME)
    with pytest.raises(CheckpointError, match="fit published networks alone, and 'cimnet_test_resnet' is none"):
        open_source(str(trained.folder / "last.pt"), NAME)
    (tmp_path / "bad.safetensors").write_bytes(b"not weights")
    with pytest.raises(CheckpointError, match="damaged or not a safetensors file"):
        open_source(str(tmp_path / "bad.safetensors"), NAME)


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PUBLICATIONS", {ZOO: replace(PUBLICATIONS["cmx_mit_b2"], channel_order="bgr")})


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_weights_of_the_original_code(ending: str, tmp_path: Path) -> None:
    torch.manual_seed(5)
    given = create_model(ZOO, 9)
    assert isinstance(given, ZooNetwork)
    path = tmp_path / f"official{ending}"
    state = {key: value.clone().contiguous() for key, value in given.official_state().items()}
    (torch.save if ending == ".pth" else safetensors.torch.save_file)(state, path)
    source = open_source(str(path), ZOO)
    with pytest.raises(ConfigError, match=r"expects colours in the order bgr; add model\.channel_order: bgr"):
        create_from(source, ZOO, tuple("abcdefghi"))
    model, fit = create_from(source, ZOO, tuple("abcdefghi"), channel_order="bgr")
    assert (fit.random, fit.unused) == ((), ())
    assert fit.by_number
    assert "classifier taken by number: the weights name no classes" in fit.sentence()
    assert all(torch.equal(model.state_dict()[key], value) for key, value in given.named_parameters())
    _, fit = create_from(source, ZOO, ("a", "b"), channel_order="rgb")  # the user's own training of the original code
    assert fit.classes == ()
    assert not fit.by_number
    assert {key.rpartition(".")[0] for key in fit.random} == {next(iter(fit.random)).rpartition(".")[0]}


@pytest.mark.usefixtures("published")
def test_weights_of_the_original_code_that_are_nan(tmp_path: Path) -> None:
    given = create_model(ZOO, 9)
    assert isinstance(given, ZooNetwork)
    state = given.official_state()
    next(iter(state.values())).data.fill_(float("nan"))
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="is NaN or infinite"):
        create_from(open_source(str(tmp_path / "a.pth"), ZOO), ZOO, tuple("abcdefghi"), channel_order="bgr")


@pytest.mark.skipif(not timm.is_model("vit_small_patch16_dinov3"), reason="this timm has no DINOv3")
@pytest.mark.parametrize("encoder", ["test_resnet", "test_vit"])
@pytest.mark.parametrize("adapter", [None, "bottleneck", "lora"])
def test_a_frozen_encoder_takes_the_weights_below_its_adapters(
    adapter: str | None, encoder: str, tmp_path: Path
) -> None:
    if (encoder, adapter) == ("test_resnet", "lora"):
        pytest.skip("it has no attention")
    name = f"cimnet_{encoder}"
    path = _save(tmp_path / "a.safetensors", name, **SMALL)
    frozen = {"encoder_options": {"freeze": True, "adapter": adapter, "adapter_width": 2}}
    model, fit = create_from(open_source(str(path), name), name, CLASSES, **SMALL, **frozen)
    given, _ = load_checkpoint(path)
    rgb = torch.rand(1, 3, 64, 64)
    model.eval()
    ours, theirs = model.encoder_rgb(rgb), given.encoder_rgb(rgb)
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
    assert model.encoder_rgb.frozen
    assert fit.random == ()
    # the checkpoint of such a model describes one that has the same weights
    save_checkpoint(tmp_path / "b.safetensors", model, ModelInfo(name, SMALL | frozen, CLASSES, ((0, 0, 0),) * 3))
    again, fit = create_from(open_source(str(tmp_path / "b.safetensors"), name), name, CLASSES, **SMALL, **frozen)
    assert fit.random == ()
    assert all(torch.equal(again.state_dict()[key], value) for key, value in fit_state(model).items())


def fit_state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """What is taken of a model's state."""
    return {key: value for key, value in model.state_dict().items() if not key.startswith(("rgb_", "thermal_"))}


def test_a_frozen_encoder_that_nothing_is_known_of(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.safetensors", "cimnet_mit_b0", **SMALL)
    frozen = {"encoder_options": {"freeze": True, "adapter": None, "adapter_width": 2}}
    with pytest.raises(ConfigError, match=r"model\.encoder\.freeze: model\.weights .* lacks 'encoder_rgb\."):
        create_from(open_source(str(path), NAME), NAME, CLASSES, **SMALL, **frozen)


def test_a_run_begins_with_weights_and_records_them(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cimnet.models.two_stream.create_encoder", _no_fetch)
    recipe = tiny_recipe(
        trained.root,
        model={"weights": str(trained.folder), "pretrained": True},
        training={"learning_rate": 1e-12, "epochs": 1, "weight_decay": 0, "ema_decay": 0},
    )
    said: list[str] = []
    best = train(recipe, tmp_path / "run", note=said.append)
    given, _ = load_checkpoint(trained.best)
    model, info = load_checkpoint(best)
    for key, value in given.named_parameters():
        assert torch.allclose(dict(model.named_parameters())[key], value, atol=1e-6), key
    assert "weights" not in info.options
    assert any(text.startswith(f"weights {trained.folder}: loaded") for text in said)
    record = json.loads((tmp_path / "run/weights.json").read_text())
    assert record["sha256"] == identity(trained.best)
    assert record["random"] == []
    assert load_recipe(tmp_path / "run/recipe.yaml").model.weights == str(trained.folder)


def test_a_resumed_run_does_not_read_them_again(trained: Trained, tmp_path: Path) -> None:
    """Its state holds all weights; where they came from may be gone."""
    source = tmp_path / "given.safetensors"
    source.write_bytes(trained.best.read_bytes())
    recipe = tiny_recipe(trained.root, model={"weights": str(source)})
    whole = train(recipe, tmp_path / "whole")

    def stop(row: dict[str, float]) -> None:
        if row["epoch"] == 2:
            raise Stopped("")

    with pytest.raises(Stopped):
        train(recipe, tmp_path / "run", report=stop)
    record = (tmp_path / "run/weights.json").read_bytes()
    source.unlink()
    best = train(recipe, tmp_path / "run", resume=True)
    assert best.read_bytes() == whole.read_bytes()
    assert (tmp_path / "run/weights.json").read_bytes() == record
    other = recipe.model_copy(update={"model": recipe.model.model_copy(update={"weights": str(trained.best)})})
    with pytest.raises(ConfigError, match="weights"):
        train(other, tmp_path / "run", resume=True)


def test_a_run_from_nothing_has_no_record_of_weights(trained: Trained) -> None:
    assert not (trained.folder / "weights.json").exists()


def test_a_recipe_file_names_them(trained: Trained, tmp_path: Path) -> None:
    file = write_recipe(tmp_path / "r.yaml", trained.root, model={"weights": "starter", "pretrained": True})
    recipe = load_recipe(file)
    assert recipe.model.weights == "starter"
    assert recipe.model.options()["pretrained"] is False
    with pytest.raises(ConfigError, match="weights"):
        load_recipe(file, ["model.weights=''"])


def _no_fetch(name: str, pretrained: bool = False) -> Any:
    from cimnet.models.encoder import create_encoder

    assert not pretrained
    return create_encoder(name)


def test_public_names_stay() -> None:
    assert cimnet.from_official.__module__ == "cimnet.weights.official"
