"""Training with a frozen vision transformer and adapters: what is told, what is trained, what a resumed run does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from cimnet.checkpoint import load_checkpoint
from cimnet.errors import ConfigError
from cimnet.models import create_model
from cimnet.training import train
from cimnet.training.loss import SegmentationLoss
from cimnet.training.optim import create_optimizer
from cimnet.training.recipe import Recipe, parse_recipe
from cimnet.training.recipe_sections import TrainingConfig
from cimnet.training.trainer import TrainStep
from tests.conftest import one_thread, tiny_recipe
from tests.fakes.layouts import make_folder

ENCODER = {"freeze": True, "adapter": "lora", "adapter_width": 2}
SMALL: dict[str, Any] = {"widths": [16, 16, 20, 32], "decoder_channels": 16}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def _recipe(root: Path, epochs: int) -> Recipe:
    return tiny_recipe(
        root,
        model={"name": "cimnet_test_vit", "encoder": ENCODER},
        training={"epochs": epochs, "batch_size": 3},
        augmentation={"crop": [32, 32]},
    )


def _weights(path: Path) -> dict[str, Tensor]:
    return safetensors.torch.load_file(path)


def _encoder(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v for k, v in weights.items() if k.startswith("encoder_")}


def test_a_run_trains_adapters_alone_and_resumes(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", 12)
    told: list[str] = []
    best = train(_recipe(root, 1), tmp_path / "run", note=told.append)
    model, info = load_checkpoint(best)
    assert info.options["encoder_options"] == ENCODER
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    total = sum(p.numel() for p in model.parameters())
    assert f"training changes {trained / 1e6:.2f} M of {total / 1e6:.2f} M parameters" in told
    assert trained < 0.5 * total
    state = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    learned = sum(len(group["params"]) for group in state["optimizer"]["param_groups"])
    loss = sum(key.startswith("loss.") for key in state["module"])
    assert learned <= sum(p.requires_grad for p in model.parameters()) + loss

    first = {k: v.clone() for k, v in state["module"].items()}
    train(_recipe(root, 2), tmp_path / "run", resume=True)
    second = torch.load(tmp_path / "run" / "last.pt", weights_only=True)["module"]
    inside = [name for name in first if name.startswith("model.encoder_")]
    adapters = [name for name in inside if "parametrizations.weight.0." in name]
    assert adapters
    assert all(torch.equal(first[name], second[name]) for name in inside if name not in adapters)
    assert not all(torch.equal(first[name], second[name]) for name in adapters)


def test_the_optimiser_gets_no_frozen_weight() -> None:
    model = create_model("cimnet_test_vit", 3, **SMALL, encoder_options=ENCODER)
    optimizer = create_optimizer(TrainStep(model, SegmentationLoss()), TrainingConfig())
    learned = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert {id(p) for p in model.parameters() if p.requires_grad} <= learned
    assert learned.isdisjoint(id(p) for p in model.parameters() if not p.requires_grad)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ({"adapter": "lora"}, r"'model\.encoder': .*adapter needs freeze: true"),
        ({"freeze": True, "adapter": "prefix"}, r"'model\.encoder\.adapter': .*'bottleneck' or 'lora'"),
        ({"freeze": True, "adapter_width": 0}, r"'model\.encoder\.adapter_width': .*greater than 0, got 0"),
        ({"frezze": True}, r"'model\.encoder\.frezze' does not exist, did you mean 'freeze'\?"),
        ("frozen", r"'model\.encoder': "),
    ],
    ids=str,
)
def test_recipe_errors(encoder: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse_recipe({"data": {"root": "x"}, "model": {"encoder": encoder}}, "my.yaml")
    assert "\n" not in str(caught.value)


def test_options_of_a_recipe() -> None:
    def options(encoder: dict[str, Any]) -> dict[str, Any]:
        return parse_recipe({"data": {"root": "x"}, "model": {"encoder": encoder}}, "my.yaml").model.options()

    assert options({}) == {"pretrained": True}
    assert options(ENCODER) == {"pretrained": True, "encoder_options": ENCODER}
    assert options({"freeze": True, "adapter": False})["encoder_options"]["adapter"] is None  # YAML's `no`
