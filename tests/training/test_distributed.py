"""Several processes train one model: like one with a larger batch, every parameter, every image once, one writer."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.multiprocessing as mp
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn

from cimnet.errors import ConfigError
from cimnet.evaluation import evaluate
from cimnet.inference import load
from cimnet.models import CIMNet, registry
from cimnet.models.output import Output
from cimnet.models.staged_encoder import StagedEncoder
from cimnet.training import train
from cimnet.training.loss import MutualInformationWeight
from cimnet.training.recipe import parse_recipe
from cimnet.training.setup import build_loss, build_model, open_splits
from cimnet.training.states import read_state
from cimnet.training.trainer import Trainer
from tests.conftest import tiny_content, tiny_recipe, write_recipe
from tests.fakes.layouts import make_folder
from tests.training.same import same

Rows = list[dict[str, float]]


def small_encoder(name: str, pretrained: bool = False) -> StagedEncoder:
    """Four convolutions: float64 has no fast kernels for more."""
    widths, strides = (3, 16, 16, 20, 32), (4, 2, 2, 2)
    stages = [
        nn.Sequential(
            nn.Conv2d(widths[n], widths[n + 1], strides[n], strides[n]), nn.GELU(), nn.BatchNorm2d(widths[n + 1])
        )
        for n in range(4)
    ]
    return StagedEncoder(stages, widths[1:], (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


class StillCIMNet(CIMNet):
    """CIMNet in float64 whose normalisation does not look at the batch; its head has something to say at once."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        with patch("cimnet.models.two_stream.create_encoder", small_encoder):
            super().__init__(*arguments, **options)
        head = self.cipa.mi_head
        assert head is not None
        with torch.no_grad():
            for latent in (head.rgb, head.thermal):
                latent[-1].weight.mul_(300)

    def train(self, mode: bool = True) -> StillCIMNet:
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def forward(self, rgb: Tensor | None, thermal: Tensor | None) -> Output:
        assert rgb is not None
        assert thermal is not None
        return super().forward(rgb.double(), thermal.double())


def _train(rank: int, size: int, port: int, content: dict[str, Any], out: Path, double: bool) -> None:
    torch.set_num_threads(1)
    if double:
        torch.set_default_dtype(torch.float64)
        registry._FAMILIES["still"] = StillCIMNet
        MutualInformationWeight.informative = 1e-6  # random images share next to nothing, and λ is to move
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(size)}
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "ACCELERATE_USE_CPU": "true"}
    if size == 1:
        for name in ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK", "LOCAL_RANK"):
            os.environ.pop(name)
    rows: Rows = []
    train(parse_recipe(content, "tests"), out, resume=True, report=rows.append)
    torch.save(rows, out.with_name(f"{out.name}_rows_{rank}.pt"))


def run(content: dict[str, Any], out: Path, processes: int = 2, double: bool = False) -> list[Rows]:
    """Train in fresh processes; what each reported."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ["OMP_NUM_THREADS"] = "1"  # waiting threads of several processes would keep each other from working
    mp.spawn(_train, (processes, port, content, out, double), nprocs=processes)
    return [torch.load(out.with_name(f"{out.name}_rows_{rank}.pt")) for rank in range(processes)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "ema"), [({}, 0.5), ({"name": "rgb_only_efficientnet_lite0"}, 0.0)], ids=["cimnet", "rgb_only"]
)
def test_two_processes(tmp_path: Path, model: dict[str, Any], ema: float) -> None:
    root = make_folder(tmp_path / "data", 14)
    content = tiny_content(root, model=model, training={"epochs": 2, "batch_size": 2, "ema_decay": ema})
    first, second = run(content, tmp_path / "run")
    assert [row["miou"] for row in first if "miou" in row] == [row["miou"] for row in second if "miou" in row]
    predictor = load(tmp_path / "run", "cpu")
    val_set = predictor.open_dataset(root, "val")
    assert len(val_set) % 2 == 1  # cannot be divided evenly
    alone = evaluate(predictor.model.predict, val_set).scores
    assert alone.miou == pytest.approx(predictor.info.metrics["miou"], abs=1e-3)
    assert predictor.info.metrics["miou"] == max(row["miou"] for row in first if "miou" in row)


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["none", "inverse_sqrt"])
def test_two_processes_are_one_with_twice_the_batch(tmp_path: Path, weights: str) -> None:
    """Twenty steps in float64, with the estimate over the global batch, Dice and cross entropy over all its pixels."""
    root = make_folder(tmp_path / "data", 40)
    curves = []
    for processes, batch in ((1, 4), (2, 2)):
        content = tiny_content(
            root,
            model={"name": "still_efficientnet_lite0", "dropout": 0.0},
            loss={"class_weights": weights, "dice": 0.5, "initial_weight": 0.5},
            training={
                "epochs": 4,
                "batch_size": batch,
                "learning_rate": 1e-3,
                "evaluate_every": 4,
                "milestones": [15],
            },
        )
        rows = run(content, tmp_path / f"run_{processes}", processes, double=True)
        assert len(rows) == processes
        for reported in rows:
            curves.append([row for row in reported if "miou" not in row])
    alone, first, second = curves
    assert len(alone) == 20
    for key in ("loss", "cross_entropy", "mutual_information", "lambda", "gradient_norm"):
        expected = torch.tensor([row[key] for row in alone], dtype=torch.float64)
        for curve in (first, second):
            found = torch.tensor([row[key] for row in curve], dtype=torch.float64)
            torch.testing.assert_close(
                found, expected, rtol=1e-5, atol=1e-7, msg=lambda text, key=key: f"{key}: {text}"
            )
    assert alone[-1]["loss"] < 0.9 * alone[0]["loss"]
    assert abs(alone[-1]["lambda"] - alone[0]["lambda"]) > 1e-4
    worst = max(abs(a["loss"] - b["loss"]) / a["loss"] for a, b in zip(alone, first, strict=True))
    print(
        f"\nclass weights {weights}: {len(alone)} steps, loss {alone[0]['loss']:.4f} to {alone[-1]['loss']:.4f}, ",
        end="",
    )
    print(f"largest relative difference {worst:.1e}")
    left, right = (read_state(tmp_path / f"run_{n}" / "last.pt")["module"] for n in (1, 2))
    for name, value in left.items():
        torch.testing.assert_close(right[name], value, rtol=1e-4, atol=1e-6)


def _files(folder: Path) -> dict[str, int]:
    return {path.name: len([*folder.rglob(path.name)]) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_three_processes_count_each_image_once_and_write_once(tmp_path: Path) -> None:
    """Five images for three processes, then one image: two of them have nothing to do."""
    root = make_folder(tmp_path / "data", 14)
    names = (root / "train.txt").read_text().split()
    for count in (5, 1):
        (root / "val.txt").write_text("\n".join(names[:count]))
        content = tiny_content(root, training={"epochs": 1, "batch_size": 2, "ema_decay": 0.0})
        out = tmp_path / f"run_{count}"
        rows = run(content, out, 3)
        assert len({row["miou"] for reported in rows for row in reported if "miou" in row}) == 1
        predictor = load(out, "cpu")
        alone = evaluate(predictor.model.predict, predictor.open_dataset(root, "val"))
        assert alone.matrix.sum() == count * 32 * 40
        assert alone.scores.miou == pytest.approx(predictor.info.metrics["miou"], abs=1e-3)
        events = [name for name in _files(out) if name.startswith("events.out.tfevents")]
        assert len(events) == 1


@pytest.mark.slow
def test_two_nodes(tmp_path: Path) -> None:
    """The commands of docs/guides/several-gpus.md; both machines are this one: one run folder, as with one machine."""
    root = make_folder(tmp_path / "data", 14)
    recipe = write_recipe(tmp_path / "recipe.yaml", root, training={"epochs": 1, "batch_size": 2})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nodes = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "torch.distributed.run", "--nnodes=2", f"--node_rank={rank}"),
                *("--nproc_per_node=1", "--master_addr=127.0.0.1", f"--master_port={port}"),
                *("-m", "cimnet.cli", "train", str(recipe), "--out", str(tmp_path / "run")),
            ],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    texts = [node.communicate(timeout=300)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], texts
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert [start["processes"] for start in environment["starts"]] == [2]
    assert load(tmp_path / "run", "cpu").info.metrics["epoch"] == 1


@pytest.mark.slow
def test_shares_train_like_copies_and_go_on(tmp_path: Path) -> None:
    """FSDP: the same losses as with whole copies, a checkpoint that one process loads, resumption to the last bit."""
    root = make_folder(tmp_path / "data", 14)

    def content(epochs: int, sharding: str) -> dict[str, Any]:
        training = {"epochs": epochs, "batch_size": 2, "ema_decay": 0.0, "sharding": sharding, "schedule": "constant"}
        model = {"name": "still_efficientnet_lite0", "dropout": 0.0}
        return tiny_content(root, model=model, training={**training, "learning_rate": 1e-3})

    copies, _ = run(content(2, "none"), tmp_path / "copies", double=True)
    shares, _ = run(content(2, "fsdp"), tmp_path / "shares", double=True)
    for left, right in zip(copies, shares, strict=True):
        assert right["loss"] == pytest.approx(left["loss"], rel=1e-9)
        assert right["gradient_norm"] == pytest.approx(left["gradient_norm"], rel=1e-9)
    shared_out, copied = (
        safetensors.torch.load_file(tmp_path / name / "best.safetensors") for name in ("shares", "copies")
    )
    for name, value in copied.items():
        torch.testing.assert_close(shared_out[name], value)

    run(content(1, "fsdp"), tmp_path / "resumed", double=True)
    run(content(2, "fsdp"), tmp_path / "resumed", double=True)
    whole, resumed = (read_state(tmp_path / name / "last.pt") for name in ("shares", "resumed"))
    assert same(whole["module"], resumed["module"])
    assert same(whole["optimizer"], resumed["optimizer"])


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"sharding": "fsdp", "ema_decay": 0.5}, r"keeps no average of the weights; set training\.ema_decay=0"),
        ({"sharding": "fsdp", "ema_decay": 0}, r"needs several processes; start with `accelerate launch`"),
    ],
)
def test_shares_are_refused_where_they_cannot_be(
    tmp_path: Path, pixel: Callable[[], None], training: dict[str, Any], message: str
) -> None:
    from tests.conftest import pixel_recipe

    with pytest.raises(ConfigError, match=message):
        train(pixel_recipe(make_folder(tmp_path / "data", 12), training=training), tmp_path / "run")


def test_synchronised_statistics_need_cuda_and_keep_weights_and_answers(tmp_path: Path, pixel: None) -> None:
    recipe = tiny_recipe(make_folder(tmp_path / "data", 12), training={"batch_norm": "synchronised"})
    train_set, _ = open_splits(recipe)
    model, *_ = build_model(recipe, train_set)
    two_on_cpus: Any = SimpleNamespace(device=torch.device("cpu"), num_processes=2)
    with pytest.raises(ConfigError, match="synchronised needs CUDA"):
        Trainer(two_on_cpus, recipe, model, build_loss(recipe, np.ones(3)), train_set)
    rgb, thermal = torch.rand(1, 3, 32, 64), torch.rand(1, 1, 32, 64)
    expected, names = model.predict(rgb, thermal), list(model.state_dict())
    converted = convert_sync_batchnorm(model)
    assert any(isinstance(module, nn.SyncBatchNorm) for module in converted.modules())
    assert list(converted.state_dict()) == names
    assert torch.equal(converted.predict(rgb, thermal), expected)
