"""One recipe with several seeds: what a single score is worth."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

from cimnet.errors import ConfigError
from cimnet.training.data_record import FILE, check_record, record_of
from cimnet.training.loop import Note, Report, train
from cimnet.training.recipe import Recipe
from cimnet.training.runs_table import Run, is_finished, read_run
from cimnet.training.setup import open_splits
from cimnet.utils.files import write_text


def train_seeds(
    recipe: Recipe,
    out: Path,
    seeds: Sequence[int],
    *,
    resume: bool = False,
    changed_data: bool = False,
    report: Report | None = None,
    note: Note | None = None,
) -> list[Run]:
    """Train by a recipe once with each seed, in ``out/seed0`` …, and write ``out/seeds.json``.

    Args:
        resume: resume interrupted runs; finished ones on the same data are left as they are.
        changed_data, note: see :func:`cimnet.training.train`.

    Returns:
        The runs, by seed as given.

    Raises:
        ConfigError: no seed, or one twice; or a finished run on other data, without ``changed_data``.
        CimnetError: as :func:`cimnet.training.train`.
    """
    require_seeds(seeds)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("--seeds trains in one process; start each seed with --set training.seed=N instead")
    seeded = {out / f"seed{seed}": recipe.with_fields("training", seed=seed) for seed in seeds}
    finished = [folder for folder, its_own in seeded.items() if resume and is_finished(folder, its_own)]
    _check_data(recipe, finished, changed_data, note)
    for folder, its_own in seeded.items():
        if folder not in finished:
            train(its_own, folder, resume=resume, changed_data=changed_data, report=report, note=note)
    runs = [read_run(folder) for folder in seeded]
    scores = [run.miou or 0.0 for run in runs]
    summary = {
        "miou": {str(seed): score for seed, score in zip(seeds, scores, strict=True)},
        "mean": mean(scores),
        "standard_deviation": stdev(scores) if len(scores) > 1 else None,
    }
    write_text(out / "seeds.json", json.dumps(summary, indent=2) + "\n")
    return runs


def _check_data(recipe: Recipe, finished: Sequence[Path], changed_data: bool, note: Note | None) -> None:
    """Refuse finished runs on other data than those of the recipe; with ``changed_data``, report them."""
    recorded = [folder for folder in finished if (folder / FILE).exists()]
    if not recorded:
        return
    now = record_of(*open_splits(recipe, cache="none"))
    for folder in recorded:
        changes = check_record(folder, now, changed_data)
        if changes and note is not None:
            note(f"{folder} stays as it is: it was trained on other data ({changes})")


def require_seeds(seeds: Sequence[int]) -> None:
    """Refuse no seed, one twice, or one out of range.

    Raises:
        ConfigError: naming the seeds.
    """
    if not seeds or len(set(seeds)) < len(seeds) or not all(0 <= seed < 2**32 for seed in seeds):
        raise ConfigError(
            f"--seeds {','.join(map(str, seeds))}: give different numbers from 0 to 4294967295 with commas between"
        )
