"""Train and score variants of a recipe over seeds, one folder each; what is finished is not done again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cimnet.config import Recipe, load_recipe
from cimnet.errors import ConfigError
from cimnet.evaluation import evaluate
from cimnet.files import write_text
from cimnet.inference import load
from cimnet.training import train
from cimnet.training.loop import Report

Scores = dict[str, Any]  # what `cimnet eval --json` writes
Say = Callable[[str], object]


@dataclass(frozen=True)
class Variant:
    """A row of a table: its name (part of folder names) and what it changes in the recipe."""

    name: str
    overrides: tuple[str, ...] = ()


def run_variants(
    variants: Sequence[Variant],
    recipe: str | Path,
    data: Path,
    out: Path,
    seeds: Sequence[int] = (0, 1, 2),
    overrides: Sequence[str] = (),
    split: str = "test",
    report: Report | None = None,
    say: Say = lambda _: None,
    after: Callable[[dict[str, list[Scores]]], object] = lambda _: None,
) -> dict[str, list[Scores]]:
    """Train every variant with every seed, seed by seed, and score the model chosen on val once on ``split``.

    ``out/NAME_seedN`` is a run folder with ``SPLIT.json`` beside the checkpoint. Called again, it goes on: with the
    run that was interrupted from its last whole epoch, past those that are scored.

    Args:
        recipe: path or name, see :func:`cimnet.config.load_recipe`.
        overrides: settings for all variants, ``section.field=value``.
        report, say: progress of the training steps; a line for each finished run.
        after: called with all scores so far after each run.

    Returns:
        Scores by variant, one entry a seed.

    Raises:
        CimnetError: bad data or recipe, or a folder in ``out`` that was made by another recipe.
    """
    recipes = {
        (variant.name, seed): load_recipe(
            recipe, [f"data.root={json.dumps(str(data))}", *overrides, *variant.overrides, f"training.seed={seed}"]
        )
        for seed in seeds
        for variant in variants
    }
    scores: dict[str, list[Scores]] = {variant.name: [] for variant in variants}
    for (name, seed), settings in recipes.items():
        found = run_once(settings, out / f"{name}_seed{seed}", split, report)
        scores[name].append(found)
        say(f"{name}, seed {seed}: mIoU {100 * found['miou']:.1f}")
        after(scores)
    return scores


def run_once(recipe: Recipe, folder: Path, split: str = "test", report: Report | None = None) -> Scores:
    """Train by one recipe and score, or read the scores of the run in ``folder``."""
    scored = folder / f"{split}.json"
    begun = folder / "recipe.yaml"
    if begun.is_file() and load_recipe(begun) != recipe:
        raise ConfigError(f"{folder}: was made by another recipe or with other settings; choose another --out")
    if scored.is_file():
        scores: Scores = json.loads(scored.read_text(encoding="utf-8"))
        return scores
    resume = (folder / "last.pt").is_file()
    if begun.is_file() and not resume:
        shutil.rmtree(folder)  # the same run, stopped in its first epoch
    best = train(recipe, folder, resume=resume, report=report)
    return score(best, recipe.data.root, split, scored, layout=recipe.data.layout)


def score(checkpoint: Path, data: Path, split: str, out: Path | None = None, layout: str = "auto") -> Scores:
    """Scores of a checkpoint on a split, as ``cimnet eval --json`` writes them; kept in ``out``."""
    predictor = load(checkpoint)
    test_set = predictor.open_dataset(data, split, layout=layout)
    result = evaluate(predictor.model.predict, test_set, device=predictor.device)
    if out is not None:
        write_text(out, result.to_json())
    return result.to_dict()
