"""Train and score variants of a recipe over seeds, one folder each; finished runs are not repeated."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cimnet.analysis.reproduce.paper_tables import Scores
from cimnet.data.class_pixels import check_scorable
from cimnet.errors import CimnetError
from cimnet.evaluation import evaluate
from cimnet.inference import Predictor, load
from cimnet.training import train
from cimnet.training.data_record import READ_FIELDS, checksum_of_all, how_read
from cimnet.training.loop import Report
from cimnet.training.recipe import Recipe, load_recipe
from cimnet.training.run_folder import DATA_ACCESS, recipe_ledger
from cimnet.training.setup import open_split
from cimnet.training.states import state_files
from cimnet.utils.files import write_text
from cimnet.utils.ledger import Ledger

Say = Callable[[str], object]


@dataclass(frozen=True)
class Variant:
    """A row of a table: its name (part of folder names) and what it changes in the recipe."""

    name: str
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A plan to train and score the variants of one table.

    ``out/NAME_seedN`` is a run folder with ``SPLIT.json``, its scores, and ``SPLIT_data.json``, a record of the data
    that it was trained and scored on. The caller holds the lock of ``out``.

    Attributes:
        recipe: path or name, see :func:`cimnet.training.recipe.load_recipe`.
        overrides: settings for all variants, ``section.field=value``.
        report, say: progress of the training steps; a line before and after each run.
    """

    recipe: str | Path
    data: Path
    out: Path
    seeds: Sequence[int] = (0, 1, 2)
    overrides: Sequence[str] = ()
    split: str = "test"
    report: Report | None = None
    say: Say = lambda _: None

    def settings(self, variant: Variant, seed: int) -> Recipe:
        """The whole recipe of one run."""
        root = f"data.root={json.dumps(str(self.data))}"
        return load_recipe(self.recipe, [root, *self.overrides, *variant.overrides, f"training.seed={seed}"])

    def run(self, variants: Sequence[Variant], after: Callable[[], object] = lambda: None) -> None:
        """Train and score all variants with all seeds, seed by seed, calling ``after`` each time. Called again, it
        resumes an interrupted run from its newest state and skips those that are scored.

        Raises:
            CimnetError: bad data or recipe, or a folder in ``out`` that was made by another recipe or with other data.
        """
        for variant in variants:
            self.found(variant)  # refuses folders of another recipe or other data before anything is trained
        for seed in self.seeds:
            for variant in variants:
                self.say(f"{variant.name}, seed {seed} …")
                scores = self._run_once(self.settings(variant, seed), self.out / f"{variant.name}_seed{seed}")
                self.say(f"{variant.name}, seed {seed}: mIoU {100 * (scores['miou'] or 0):.1f}")
                after()

    def found(self, variant: Variant) -> dict[int, Scores]:
        """Scores that exist already, by seed.

        Raises:
            ConfigError: if a run folder of this name was made by another recipe, or scored with other data.
        """
        scores = {}
        for folder in sorted(self.out.glob(f"{variant.name}_seed*")):
            matched = re.fullmatch(r".*_seed(\d+)", folder.name)
            if matched is None:
                continue
            _require_same(self.settings(variant, int(matched[1])), folder)
            if (folder / f"{self.split}.json").is_file():
                scores[int(matched[1])] = _read(folder / f"{self.split}.json")
                self._data_of(folder).require_same(filled=True)
        return scores

    def _data_of(self, folder: Path) -> Ledger:
        """The record of the data of a scored run."""
        scored = self.out / f"*_seed*/{self.split}.json"
        remedy = f"choose another --out, or remove {scored} to score all runs with the present data"
        return Ledger(folder / f"{self.split}_data.json", self._data, remedy, later=READ_FIELDS)

    @cached_property
    def _data(self) -> dict[str, Any]:
        """How the scored split is read, and what its files and those of the training are. Files are read only once."""
        recipe = self.settings(Variant(""), self.seeds[0])
        splits = (recipe.data.train, recipe.data.val, self.split)
        opened = {split: open_split(recipe, split, cache="none") for split in splits}
        sums = {split: checksum_of_all(dataset.pairs) for split, dataset in opened.items()}
        return {**how_read(opened[self.split]), **sums}

    def _run_once(self, recipe: Recipe, folder: Path) -> Scores:
        scored = folder / f"{self.split}.json"
        if scored.is_file():
            return _read(scored)
        best = folder / "best.safetensors"
        if state_files(folder) or not best.is_file():  # a copied run may hold its best model alone
            train(recipe, folder, resume=True, report=self.report)
        predictor = load(best, force_range=True)  # values outside the range of training are clipped, as in training
        scores = score(predictor, recipe.data.root, self.split, recipe.data.layout)
        self._data_of(folder).write()
        write_text(scored, json.dumps(scores, indent=2) + "\n")
        return scores


def score(predictor: Predictor, data: Path, split: str, layout: str = "auto") -> Scores:
    """Scores of a model on a split, as ``cimnet eval --json`` writes them."""
    test_set = predictor.open_dataset(data, split, layout=layout)
    check_scorable(test_set)
    return evaluate(predictor.segment, test_set, device=predictor.device).to_dict()


def _require_same(recipe: Recipe, folder: Path) -> None:
    """Refuse a run folder whose recipe is another."""
    recipe_ledger(folder, recipe, DATA_ACCESS, "choose another --out, or the settings of that run").require_same()


def _read(path: Path) -> Scores:
    try:
        scores: Scores = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CimnetError(f"{path}: is damaged; delete it, and the run will be scored again") from error
    return scores
