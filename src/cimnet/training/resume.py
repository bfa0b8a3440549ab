"""Does what lies in a run folder fit the state that a run resumes from?"""

from __future__ import annotations

import warnings

from cimnet.checkpoint import read_description
from cimnet.errors import CheckpointError, ConfigError
from cimnet.training.recipe import Recipe
from cimnet.training.run_folder import RunFolder
from cimnet.training.trainer import TrainerState


def check_resumed(state: TrainerState, recipe: Recipe, run: RunFolder) -> None:
    """Compare a run's state with its recipe and its best model. If the best model is lost, a warning says so, and
    ``state`` begins to choose again.

    Raises:
        CimnetError: the recipe has fewer epochs than are done, the best model is that of another run, or it is missing
            and the run is complete.
    """
    _check_length(state, recipe, run)
    _check_best(state, recipe, run)


def _check_best(state: TrainerState, recipe: Recipe, run: RunFolder) -> None:
    """If a resumed run has lost its best model, start choosing the best one again; leave one of another run alone."""
    if run.best.is_file():
        scores = read_description(run.best).metrics
        score, epoch = scores.get("miou"), scores.get("epoch", 0)
        # what was written after the last whole state, or the one before it, will be written again
        if score != state.best and not state.epoch < epoch <= state.epoch + 2:
            raise ConfigError(
                f"--resume: {run.best} (epoch {epoch:.0f}) is not the best model that the run in {run.path} chose; put "
                "that back, or move this one away to choose the best one again"
            )
        return
    if state.best < 0:
        return
    if state.epoch >= recipe.training.epochs:
        raise CheckpointError(f"--resume: {run.best} is missing and the run is complete; restore it, or train again")
    warnings.warn(f"{run.best} is missing: the best model is chosen among the epochs from here on", stacklevel=2)
    state.best = -1.0


def _check_length(state: TrainerState, recipe: Recipe, run: RunFolder) -> None:
    """Refuse a recipe that is shorter than what is done."""
    epochs, done = recipe.training.epochs, state.epoch
    if done > epochs:
        raise ConfigError(
            f"--resume: training.epochs is {epochs}, but the run in {run.path} has {done} already; raise it"
        )
