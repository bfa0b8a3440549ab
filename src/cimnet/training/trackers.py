"""Destinations of curves besides the run folder: TensorBoard, Weights & Biases, MLflow, through accelerate."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.tracking import MLflowTracker, TensorBoardTracker, WandBTracker

from cimnet.training.recipe import Recipe
from cimnet.training.run_folder import flat
from cimnet.utils.extras import require
from cimnet.utils.files import resolved

PROJECT = "cimnet"


def require_trackers(names: Sequence[str]) -> None:
    """Refuse a tracker whose package is missing.

    Raises:
        MissingExtra: naming it and the command that installs it.
    """
    for name in names:
        require(name, "trackers", f"training.trackers: {name}")


def start_trackers(accelerator: Accelerator, recipe: Recipe, out: Path, step: int) -> None:
    """Start the recipe's trackers, at step 0 or to resume the same run after ``step``.

    TensorBoard writes into ``out/tensorboard``, where steps after ``step`` are dropped, also those of a run that was
    ended before its first state. W&B and MLflow go where their
    environment variables say (WANDB_MODE, MLFLOW_TRACKING_URI …), in the project or experiment ``cimnet``.
    """
    create: dict[str, Any] = {
        "tensorboard": lambda: TensorBoardTracker("tensorboard", out, purge_step=step + 1),
        "wandb": lambda: WandBTracker(PROJECT, name=out.name, id=_id(out), resume="allow", dir=str(out)),
        "mlflow": lambda: MLflowTracker(PROJECT, run_id=_mlflow_run(out) if step else None, run_name=_id(out)),
    }
    accelerator.log_with = [create[name]() for name in recipe.training.trackers]
    accelerator.init_trackers(PROJECT)
    for tracker in accelerator.trackers:
        if tracker.name != "tensorboard":  # its table of settings would be a second run beside the curves
            tracker.store_init_configuration({name: str(value) for name, value in flat(recipe).items()})


def _id(out: Path) -> str:
    """A name for the run in ``out`` that is the same after every restart, of characters that no tracker refuses."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", out.name)
    return f"{name}-{hashlib.sha256(str(resolved(out)).encode()).hexdigest()[:8]}"


def _mlflow_run(out: Path) -> str | None:
    import mlflow

    found = mlflow.search_runs(
        experiment_names=[PROJECT], filter_string=f"attributes.run_name = '{_id(out)}'", output_format="list"
    )
    return found[0].info.run_id if found else None
