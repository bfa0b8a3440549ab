"""Two processes train one model: every parameter takes part, every validation image counts once, one writer."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp

from cimnet.config import parse_recipe
from cimnet.evaluation import evaluate
from cimnet.inference import load
from cimnet.training import train
from tests.conftest import tiny_content
from tests.fakes.layouts import make_folder


def _train(rank: int, port: int, content: dict[str, Any], out: Path) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "ACCELERATE_USE_CPU": "true"}
    rows: list[dict[str, float]] = []
    train(parse_recipe(content, "tests"), out, report=rows.append)
    torch.save([row for row in rows if "miou" in row], out.with_name(f"rows_{rank}.pt"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "ema"), [({}, 0.5), ({"name": "rgb_only_efficientnet_lite0"}, 0.0)], ids=["cimnet", "rgb_only"]
)
def test_two_processes(tmp_path: Path, model: dict[str, Any], ema: float) -> None:
    root = make_folder(tmp_path / "data", 14)
    content = tiny_content(root, model=model, training={"epochs": 2, "batch_size": 2, "ema_decay": ema})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(_train, (port, content, tmp_path / "run"), nprocs=2)

    first, second = (torch.load(tmp_path / f"rows_{rank}.pt") for rank in (0, 1))
    assert [row["miou"] for row in first] == [row["miou"] for row in second]
    predictor = load(tmp_path / "run", "cpu")
    val_set = predictor.open_dataset(root, "val")
    assert len(val_set) % 2 == 1  # cannot be shared out evenly
    alone = evaluate(predictor.model.predict, val_set).scores
    assert alone.miou == pytest.approx(predictor.info.metrics["miou"], abs=1e-3)
    assert predictor.info.metrics["miou"] == max(row["miou"] for row in first)
