"""Weights that version 0.1 saved under other names: they load into today's modules, whole and by the optimiser."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

import cimnet.training.sharding as sharding
from cimnet.checkpoint import ModelInfo, load_checkpoint, save_checkpoint
from cimnet.models import RGBTModel, create_model
from cimnet.models.state_names import current_name
from cimnet.training import train
from tests.conftest import tiny_recipe
from tests.fakes.layouts import make_folder
from tests.training.same import same

OPTIONS: dict[str, Any] = {"widths": (8, 16, 20, 32), "decoder_channels": 16}
TODAY = {
    "cimnet": {
        "project_rgb.": "enter_rgb.",
        "project_thermal.": "enter_thermal.",
        "write_back_rgb.": "leave_rgb.",
        "write_back_thermal.": "leave_thermal.",
    },
    "addition": {"project_sum.": "enter."},
    "early_fusion": {"project.": "enter."},
}
TODAY["parallel_rectification"] = TODAY["cimnet"]
TODAY["rgb_only"] = TODAY["early_fusion"]


def _former(name: str, family: str) -> str:
    """The name of version 0.1, of a name of today, which may stand behind ``model.``."""
    before, own = ("model.", name[6:]) if name.startswith("model.") else ("", name)
    for today, former in TODAY[family].items():
        if own.startswith(today):
            return before + former + own.removeprefix(today)
    return name


def _former_state(state: dict[str, Tensor], family: str) -> dict[str, Tensor]:
    renamed = {_former(name, family): value for name, value in state.items()}
    assert renamed.keys() != state.keys()
    return renamed


def _model(family: str) -> RGBTModel:
    torch.manual_seed(0)
    return create_model(f"{family}_resnet10t", 3, **OPTIONS)


@pytest.mark.parametrize("family", TODAY)
def test_a_checkpoint_of_version_0_1_is_the_same_model(tmp_path: Path, family: str) -> None:
    model = _model(family)
    info = ModelInfo(f"{family}_resnet10t", OPTIONS, ("a", "b", "c"), ((0, 0, 0),) * 3)
    save_checkpoint(tmp_path / "today.safetensors", model, info)
    with safetensors.safe_open(tmp_path / "today.safetensors", "pt") as file:
        metadata = file.metadata()
    state = _former_state(model.state_dict(), family)
    safetensors.torch.save_file(state, tmp_path / "former.safetensors", metadata)
    loaded, _ = load_checkpoint(tmp_path / "former.safetensors")
    assert same(dict(loaded.state_dict()), dict(model.state_dict()))
    saved = list(state)
    model.load_state_dict(state)
    assert list(state) == saved  # the caller's dictionary is left alone


def test_a_weight_that_is_missing_is_named_as_today(tmp_path: Path) -> None:
    model = _model("cimnet")
    state = _former_state(model.state_dict(), "cimnet")
    del state["enter_rgb.0.0.weight"]
    with pytest.raises(RuntimeError, match=r"Missing key.*project_rgb\.0\.0\.weight"):
        model.load_state_dict(state)


def test_other_names_are_left_alone() -> None:
    former = {"enter": "project"}
    assert current_name("enter.0.weight", former) == "project.0.weight"
    assert current_name("model.enter.0.weight", former, "model.") == "model.project.0.weight"
    for name in ("entering.0", "encoder.enter.0", "loss.enter"):
        assert current_name(name, former) == name
        assert current_name(name, former, "model.") == name


def test_a_run_of_version_0_1_is_resumed_to_the_last_bit(tmp_path: Path) -> None:
    """Weights, their average and the optimiser's state, which goes by position."""

    def recipe(epochs: int) -> Any:
        model = {"name": "cimnet_test_resnet", "pretrained": False, **OPTIONS}
        training = {"epochs": epochs, "ema_decay": 0.9, "trackers": [], "schedule": "constant"}
        return tiny_recipe(root, model=model, training=training)

    root = make_folder(tmp_path / "data", 6)
    train(recipe(1), tmp_path / "run")
    state = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    former = deepcopy(state)
    former["module"] = _former_state(state["module"], "cimnet")
    former["ema"] = _former_state(state["ema"], "cimnet")
    ended = []
    for content in (state, former):
        torch.save(content, tmp_path / "run" / "last.pt")
        train(recipe(2), tmp_path / "run", resume=True)
        ended.append(torch.load(tmp_path / "run" / "last.pt", weights_only=True))
    for part in ("module", "ema", "optimizer"):
        assert same(ended[0][part], ended[1][part]), part


def test_a_sharded_state_names_weights_and_the_optimisers_parts_as_today(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def take(*_: object, model_state_dict: Any, optim_state_dict: Any, options: object) -> None:
        given.update(module=model_state_dict, optimizer=optim_state_dict)

    monkeypatch.setattr("torch.distributed.checkpoint.state_dict.set_state_dict", take)
    names = ["model.enter_rgb.0.0.weight", "model.ffm.0.embed.norm.bias", "loss.enter"]
    state = {
        "module": dict.fromkeys(names, 1),
        "optimizer": {"state": {name: {"step": 1} for name in names}, "param_groups": [{"lr": 1, "params": names}]},
    }
    sharding.load_gathered_state(torch.nn.Identity(), None, state, _model("cimnet").former_names)  # type: ignore[arg-type]
    today = ["model.project_rgb.0.0.weight", *names[1:]]
    assert list(given["module"]) == list(given["optimizer"]["state"]) == today
    assert given["optimizer"]["param_groups"] == [{"lr": 1, "params": today}]
