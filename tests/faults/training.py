"""Training runs: folders that are none, locked, damaged or of another recipe; settings that cannot be together."""

from __future__ import annotations

import json
import warnings

import torch

from cimnet.errors import CheckpointError, CimnetError, ConfigError, DataError
from cimnet.training.run_folder import RunFolder
from cimnet.training.states import read_state, save_state
from tests.faults.bench import Bench, Fault


def _resume(bench: Bench, *options: str) -> str:
    bench.command("train", bench.recipe, "--out", bench.folder / "run", "--resume", *options)
    steps = read_state(bench.folder / "run" / "last.pt")["progress"]["step"]
    return f"trained, {steps} steps"


def _run(bench: Bench) -> None:
    bench.command("train", bench.recipe, "--out", bench.folder / "run")


def _damaged(bench: Bench, *names: str) -> str:
    _run(bench)
    save_state(bench.folder / "run", read_state(bench.folder / "run" / "last.pt"))
    for name in names:
        path = bench.folder / "run" / name
        path.write_bytes(path.read_bytes()[:-50])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        text = _resume(bench, "--set", "training.epochs=3")
    return "; ".join([text, *(str(warning.message) for warning in told if "state" in str(warning.message))])


def _newest_damaged(bench: Bench) -> str:
    return _damaged(bench, "last.pt")


def _both_damaged(bench: Bench) -> str:
    return _damaged(bench, "last.pt", "previous.pt")


def _other_weights(bench: Bench) -> str:
    _run(bench)
    state = read_state(bench.folder / "run" / "last.pt")
    state["module"] = {name: torch.zeros(3) for name in state["module"]}
    save_state(bench.folder / "run", state)
    return _resume(bench)


def _progress_of_nonsense(bench: Bench) -> str:
    _run(bench)
    save_state(bench.folder / "run", {**read_state(bench.folder / "run" / "last.pt"), "progress": {"moon": 1}})
    return _resume(bench)


def _other_recipe(bench: Bench) -> str:
    _run(bench)
    return _resume(bench, "--set", "training.learning_rate=0.5")


def _fewer_epochs(bench: Bench) -> str:
    bench.command("train", bench.recipe, "--out", bench.folder / "run", "--set", "training.epochs=2")
    return _resume(bench, "--set", "training.epochs=1")


def _locked(bench: Bench) -> str:
    other = RunFolder(bench.folder / "run")
    other.lock()
    bench.stack.callback(other.unlock)
    return _resume(bench)


def _begun(bench: Bench) -> str:
    """Killed before its first state."""
    bench.write("run/.lock", "")
    bench.write("run/.recipe.1.part.yaml", "half")
    return _resume(bench)


def _not_a_run(bench: Bench) -> str:
    bench.write("thesis/chapter1.tex", "text")
    return bench.command("train", bench.recipe, "--out", "thesis", "--resume")


def _log_of_nonsense(bench: Bench) -> str:
    _run(bench)
    (bench.folder / "run" / "log.jsonl").write_text("{")
    return bench.command("runs", bench.folder / "run")


def _environment_of_nonsense(bench: Bench) -> str:
    _run(bench)
    (bench.folder / "run" / "environment.json").write_text("[]")
    _resume(bench)
    starts = json.loads((bench.folder / "run" / "environment.json").read_text())["starts"]
    return f"resumed, {len(starts)} start noted"


def _train(*options: str, out: str = "out") -> object:
    return lambda bench: bench.command("train", bench.recipe, "--out", bench.folder / out, *options)


def _set(*overrides: str) -> object:
    return _train(*(word for override in overrides for word in ("--set", override)))


_LOW_BOUND = _train("--set", "training.max_loss=1e-9", out="run")
_ROWS = (
    ("newest state cut", _newest_damaged, None, "trained, .*resuming from previous.pt"),
    ("both states cut", _both_damaged, CheckpointError, "last.pt: damaged.*start a new run or restore"),
    ("state of another model", _other_weights, ConfigError, "--resume: the recipe does not describe the run"),
    ("state whose progress is nonsense", _progress_of_nonsense, ConfigError, "--resume: the recipe does not describe"),
    ("resume with another learning rate", _other_recipe, ConfigError, "other settings: training.learning_rate .0"),
    ("resume with fewer epochs than are done", _fewer_epochs, ConfigError, "epochs is 1, but .* has 2 already; raise"),
    ("a second process in a run folder", _locked, CimnetError, "another process trains in it; wait"),
    ("run killed before its first state, resumed", _begun, None, "trained, "),
    ("resume in a folder that is no run", _not_a_run, CimnetError, "thesis: nothing to resume.*give the folder"),
    ("resumed run whose environment.json is nonsense", _environment_of_nonsense, None, "1 start noted"),
    ("log.jsonl of nonsense, listed", _log_of_nonsense, CimnetError, "log.jsonl or test.json cannot be read.*restore"),
    ("runs of a folder without any", lambda bench: bench.command("runs", bench.data), DataError, "it contains no runs"),
    ("out with a name of 300 letters", _train(out="x" * 300), CimnetError, "cannot be written .*choose another"),
    ("resume with a name of 300 letters", _train("--resume", out="x" * 300), CimnetError, "cannot be written"),
    ("--seeds of words", _train("--seeds", "0,one"), ConfigError, "expected whole numbers"),
    ("--seeds with one twice", _train("--seeds", "1,1"), ConfigError, "different numbers"),
    ("--seeds below zero", _train("--seeds=-1"), ConfigError, "different numbers from 0"),
    ("FSDP in one process", _set("training.sharding=fsdp"), ConfigError, "several processes; start with"),
    ("a tracker that does not exist", _set("training.trackers=[excel]"), ConfigError, "tensorboard.*wandb.*mlflow"),
    ("a loss bound of zero", _set("training.max_loss=0"), ConfigError, "max_loss.*greater than 0"),
    ("a loss bound that is too low", _LOW_BOUND, CimnetError, "above training.max_loss.*lower"),
    ("states every -1 steps", _set("training.save_every=-1"), ConfigError, "save_every.*greater than or equal to 0"),
)  # fmt: skip
FAULTS = [Fault(name, "training", run, error, says) for name, run, error, says in _ROWS]  # type: ignore[arg-type]
