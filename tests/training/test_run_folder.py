"""What a finished run leaves in its folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import cimnet
from cimnet.data import open_dataset
from cimnet.evaluation import evaluate
from cimnet.training.recipe import load_recipe
from cimnet.training.run_folder import plot_curves
from tests.conftest import Trained


def test_names(trained: Trained) -> None:
    assert {path.name for path in trained.folder.iterdir()} == {
        "recipe.yaml",
        "environment.json",
        "data.json",
        "log.jsonl",
        "curves.png",
        "tensorboard",
        "best.safetensors",
        "last.pt",
        "previous.pt",
    }


def test_the_recipe_loads_back(trained: Trained) -> None:
    assert load_recipe(trained.folder / "recipe.yaml") == trained.recipe


def test_versions_and_seed(trained: Trained) -> None:
    environment = json.loads((trained.folder / "environment.json").read_text())
    assert environment["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert environment["seed"] == 0
    assert {"python", "machine", "threads", "timm", "accelerate", "numpy"} <= environment.keys()


def test_one_line_of_the_log_an_epoch(trained: Trained) -> None:
    rows = [json.loads(line) for line in (trained.folder / "log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    for row in rows:
        assert {
            "loss",
            "cross_entropy",
            "mutual_information",
            "lambda",
            "rate",
            "miou",
            "pixel_accuracy",
            "seconds",
        } <= set(row)
    steps = [row for row in trained.rows if "miou" not in row]
    assert rows[0]["loss"] == np.mean([row["loss"] for row in steps[:2]])


def test_curves_and_tensorboard(trained: Trained) -> None:
    with Image.open(trained.folder / "curves.png") as image:
        assert image.format == "PNG"
        assert np.asarray(image.convert("L")).std() > 0
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained.folder / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4, 5, 6]
    assert {"train/lambda", "train/mutual_information", "train/rate", "epoch/miou"} <= set(events.Tags()["scalars"])


def test_curves_leave_out_epochs_without_an_evaluation() -> None:
    rows = [{"epoch": n, "loss": 1.0, "mutual_information": 0.1, "lambda": 0.1} for n in (1, 2, 3)]
    rows[1]["miou"] = 0.4
    lines = {axes.get_title(): axes.lines[0].get_xydata() for axes in plot_curves(rows).axes}
    assert np.asarray(lines["mIoU on val"]).tolist() == [[2, 0.4]]
    assert len(np.asarray(lines["loss"])) == 3


def test_the_best_model_works_alone_and_scores_what_was_logged(trained: Trained, tmp_path: Path) -> None:
    shutil.copy(trained.best, tmp_path / "model.safetensors")
    predictor = cimnet.load(tmp_path / "model.safetensors", "cpu")
    result = evaluate(predictor.model.predict, open_dataset(trained.root, "val"))
    best = max(row["miou"] for row in trained.rows if "miou" in row)
    assert predictor.info.metrics["miou"] == best
    assert abs(result.scores.miou - best) < 1e-3  # a pixel on the fence may fall either way in another memory format
