"""A run folder: recipe, versions, log, curves, checkpoints.

recipe.yaml  environment.json  log.jsonl  curves.png  tensorboard/
best.safetensors    the model that scored best on val, complete in one file
last.pt             training state after the last whole epoch, for --resume
"""

from __future__ import annotations

import json
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import yaml
from matplotlib.figure import Figure

from cimnet.config import Recipe, load_recipe
from cimnet.errors import CheckpointError, CimnetError, ConfigError
from cimnet.evaluation.figures import save_figure
from cimnet.files import require_new_folder, require_writable, write_atomically, write_text

MAY_CHANGE = frozenset(
    {"data.root", "data.workers", "data.cache", "data.cache_folder", "training.epochs", "training.evaluate_every"}
)
PACKAGES = ("cimnet", "torch", "torchvision", "timm", "segmentation-models-pytorch", "accelerate", "numpy", "pillow")
State = dict[str, Any]


class RunFolder:
    """Paths and writers of one run.

    Raises:
        CimnetError: for a new run, if the folder holds something; for ``resume``, if there is nothing to go on from.
    """

    def __init__(self, path: Path, resume: bool) -> None:
        self.path = path
        self.best = path / "best.safetensors"
        self.last = path / "last.pt"
        if resume and not self.last.is_file():
            raise CimnetError(f"{path}: nothing to resume, there is no last.pt; start a run in a new or empty folder")
        if resume:
            require_writable(path)
        else:
            begun = self.last.is_file()
            remedy = "--resume to go on with that run" if begun else "remove it: no run in it finished an epoch"
            require_new_folder(path, f"choose another --out, or {remedy}")

    def describe(self, recipe: Recipe) -> None:
        """Write the recipe as used and the versions that ran it."""
        content = recipe.model_dump(mode="json", exclude_none=True)
        write_text(self.path / "recipe.yaml", yaml.safe_dump(content, sort_keys=False))
        environment = {
            "python": sys.version.split()[0],
            "machine": platform.platform(),
            "processor": platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
            "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "seed": recipe.training.seed,
            **{name: _version(name) for name in PACKAGES},
        }
        write_text(self.path / "environment.json", json.dumps(environment, indent=2) + "\n")

    def log(self, history: list[dict[str, float]]) -> None:
        """Write one JSON line per epoch and the curves."""
        write_text(self.path / "log.jsonl", "".join(json.dumps(row) + "\n" for row in history))
        save_figure(plot_curves(history), self.path / "curves.png")

    def save_state(self, state: State) -> None:
        """Write the training state atomically."""
        write_atomically(self.last, lambda p: torch.save(state, p))

    def load_state(self, recipe: Recipe) -> State:
        """Read the training state; code inside the file is refused.

        Raises:
            CheckpointError: if the file is damaged or is not a training state.
            ConfigError: if ``recipe`` differs from the run's in more than :data:`MAY_CHANGE`.
        """
        change = first_change(self.path / "recipe.yaml", recipe, MAY_CHANGE)
        if change is not None:
            field, began, now = change
            raise ConfigError(
                f"--resume: {field} is {now!r}, but the run in {self.path} began with {began!r}; go on with "
                f"{self.path / 'recipe.yaml'}, of which only {', '.join(sorted(MAY_CHANGE))} may change"
            )
        try:
            state: State = torch.load(self.last, map_location="cpu", weights_only=True)
        except Exception as error:  # the unpickler raises almost anything on damaged files
            raise CheckpointError(f"{self.last}: damaged training state; start a new run or restore a copy") from error
        return state


def first_change(path: Path, recipe: Recipe, may_change: frozenset[str]) -> tuple[str, Any, Any] | None:
    """The first field in which ``recipe`` differs from the one in a file: its name (``section.field``), the file's
    value and the recipe's. None if all fields but ``may_change`` agree."""
    began, now = _flat(load_recipe(path)), _flat(recipe)
    changed = ((name, began[name], now[name]) for name in now if now[name] != began[name] and name not in may_change)
    return next(changed, None)


def _flat(recipe: Recipe) -> dict[str, Any]:
    sections = recipe.model_dump(mode="json").items()
    return {f"{name}.{field}": value for name, section in sections for field, value in section.items()}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def plot_curves(history: list[dict[str, float]]) -> Figure:
    """Loss, mutual information, λ and val mIoU over the epochs."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    panels = (("loss", "loss"), ("miou", "mIoU on val"), ("mutual_information", "L_mi (nats)"), ("lambda", "λ"))
    for number, (key, title) in enumerate(panels, start=1):
        points = [(row["epoch"], row[key]) for row in history if key in row]
        axes = figure.add_subplot(2, 2, number)
        axes.plot([x for x, _ in points], [y for _, y in points], marker=".", color="#0072b2")
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
    return figure
