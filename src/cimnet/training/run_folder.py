"""A run folder: recipe, versions, the data's record, log, curves, checkpoints.

recipe.yaml  environment.json  log.jsonl  curves.png  tensorboard/
data.json            what the run was trained on, see data_record.py; `--resume` compares it with what is there
weights.json         which weights the run began with (`model.weights`), what of them was loaded and what was not
best.safetensors     the model that scored best on val, complete in one file
last.pt previous.pt  training states for --resume, see states.py
bad_batch.json       ids of the last two batches before a loss out of bounds
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Collection
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import yaml
from matplotlib.figure import Figure

from cimnet.errors import CimnetError, ConfigError
from cimnet.training.data_record import read_run_id
from cimnet.training.recipe import Recipe, load_recipe
from cimnet.training.states import State, load_state, save_state, state_files
from cimnet.utils.figures import save_figure
from cimnet.utils.files import require_new_folder, require_writable, write_text
from cimnet.utils.ledger import Ledger
from cimnet.utils.locks import LOCK, OutputLock
from cimnet.weights.fit import Fit

DATA_ACCESS = frozenset({"data.root", "data.workers", "data.cache", "data.cache_folder"})
"""Fields of the recipe that say where the data lie and how they are loaded. With other values, a run is the same."""
MAY_CHANGE = DATA_ACCESS | {
    "data.allow_absent",
    "training.epochs",
    "training.evaluate_every",
    "training.save_every",
    "training.max_loss",
    "training.gradient_checkpointing",
    "training.trackers",
}
PACKAGES = ("cimnet", "torch", "torchvision", "timm", "segmentation-models-pytorch", "accelerate", "numpy", "pillow")


class RunFolder:
    """Paths and writers of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.best = path / "best.safetensors"
        self.bad_batch = path / "bad_batch.json"
        self.recipe = path / "recipe.yaml"
        self.environment = path / "environment.json"
        self.weights = path / "weights.json"
        self.damaged: list[Path] = []
        self.id: str | None = None
        """Identity of the run: a digest of recipe and data at its start, see :mod:`cimnet.training.data_record`."""
        self._lock = OutputLock(path, doing="trains in it")

    def check(self, resume: bool) -> None:
        """Refuse a folder that is neither new nor empty nor, for ``resume``, one with a run. Creates nothing.

        Raises:
            CimnetError: naming the folder and what to do.
        """
        path = self.path
        if not resume:
            begun = is_run(path)
            remedy = "pass --resume to continue that run" if begun else "remove it: it holds no run to resume"
            require_new_folder(path, f"choose another --out, or {remedy}")
            return
        if _holds_something(path) and not is_run(path):
            raise CimnetError(f"{path}: nothing to resume, it holds no run; give the folder of a run, or a new one")
        require_writable(path)

    def lock(self) -> None:
        """Keep other processes out until this one ends, however it ends; clear away half-written files of a killed one.

        Raises:
            CimnetError: another process trains in this folder.
        """
        self._lock.acquire()
        for part in self.path.glob(".*.part*"):
            part.unlink(missing_ok=True)

    def unlock(self) -> None:
        """Let others in. Where nothing was begun, nothing stays."""
        self._lock.release()

    def describe(self, recipe: Recipe, step: int, processes: int, changes: str | None = None) -> None:
        """Write the recipe as used, the versions that run it, and one line for this start; put damaged states aside,
        so that none takes the place of a whole one."""
        for damaged in self.damaged:
            damaged.replace(damaged.with_suffix(".damaged"))
        content = recipe.model_dump(mode="json", exclude_none=True)
        write_text(self.recipe, yaml.safe_dump(content, sort_keys=False))
        starts = read_starts(self.environment)
        start = {
            "clock": datetime.now(UTC).isoformat(timespec="seconds"),
            "step": step,
            "host": platform.node(),
            "processes": processes,
            "threads": torch.get_num_threads(),
            **({"changed data": changes} if changes else {}),
        }
        environment = {
            "python": sys.version.split()[0],
            "machine": platform.platform(),
            "processor": platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
            "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "seed": recipe.training.seed,
            **{name: _version(name) for name in PACKAGES},
            "starts": [*starts, start],
        }
        write_text(self.environment, json.dumps(environment, indent=2) + "\n")

    def describe_weights(self, fit: Fit) -> None:
        """Write which weights the run begins with, and what of them it has taken."""
        write_text(self.weights, json.dumps(fit.to_dict(), indent=2) + "\n")

    def log(self, history: list[dict[str, float]]) -> None:
        """Write one JSON line per epoch and the curves."""
        write_text(self.path / "log.jsonl", "".join(json.dumps(row) + "\n" for row in history))
        save_figure(plot_curves(history), self.path / "curves.png")

    def save_state(self, state: State) -> None:
        """Write the training state; the one before is kept."""
        save_state(self.path, {**state, "run": self.id})

    def load_state(self, recipe: Recipe) -> State | None:
        """Read the newest whole training state; None if the run was ended before its first.

        Raises:
            CheckpointError: if all states are damaged.
            ConfigError: if ``recipe`` differs from the run's in more than :data:`MAY_CHANGE`, or the state is one of
                another run.
        """
        if not self.recipe.is_file():
            return None
        remedy = f"choose another --out; only {', '.join(sorted(MAY_CHANGE))} may change"
        recipe_ledger(self.path, recipe, MAY_CHANGE, remedy).require_same()
        state, self.damaged = load_state(self.path)
        if state is None:
            return None
        self.id, its_own = read_run_id(self.path), state.get("run")
        if self.id is not None and its_own not in (None, self.id):
            raise ConfigError(
                f"--resume: the training state in {self.path} is one of another run; restore the run's own, or begin "
                "in another --out"
            )
        self.id = self.id or its_own
        return state


def is_run(path: Path) -> bool:
    """Whether a folder holds a run, begun at least."""
    try:
        return (path / "recipe.yaml").is_file() or bool(state_files(path)) or (path / LOCK).is_file()
    except OSError:  # the name is too long
        return False


def _holds_something(path: Path) -> bool:
    try:
        return path.is_dir() and any(path.iterdir())
    except OSError:  # the name is too long, or it may not be read
        return False


def read_starts(environment: Path) -> list[dict[str, Any]]:
    """The starts of a run noted in its ``environment.json``; none if it cannot be read."""
    try:
        starts: list[dict[str, Any]] = json.loads(environment.read_text(encoding="utf-8")).get("starts", [])
    except (OSError, ValueError, AttributeError):
        return []
    return starts


def recipe_ledger(folder: Path, recipe: Recipe, may_change: Collection[str] = (), remedy: str = "") -> Ledger:
    """Whether the run in a folder has a recipe, all fields (``section.field``) but ``may_change``."""
    return Ledger(
        folder / "recipe.yaml", flat(recipe), remedy, ignore=may_change, read=lambda path: flat(load_recipe(path))
    )


def flat(recipe: Recipe) -> dict[str, Any]:
    """Return all fields of a recipe, ``section.field`` to value."""
    sections = recipe.model_dump(mode="json").items()
    return {f"{name}.{field}": value for name, section in sections for field, value in section.items()}


def lasting(recipe: Recipe) -> dict[str, Any]:
    """The fields of a recipe that must not change while a run goes on."""
    return {field: value for field, value in flat(recipe).items() if field not in MAY_CHANGE}


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
