"""Cross-validation: every image is tested once, by a model that saw nothing of its group."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cimnet.analysis.cross_validation.fold_lists import FoldLists, read_fold_lists
from cimnet.analysis.cross_validation.held_out import FILE, HeldOut, read_held_out
from cimnet.analysis.cross_validation.result import CrossResult
from cimnet.data import RGBTDataset
from cimnet.data.class_pixels import count_label
from cimnet.data.io.split_lists import name_some
from cimnet.errors import ConfigError, DataError, Stopped
from cimnet.evaluation import evaluate
from cimnet.evaluation.metrics import Matrix
from cimnet.inference import load
from cimnet.training import train
from cimnet.training.cross_record import FILE as RECORD
from cimnet.training.cross_record import FOLDS, LATER, SECTION, WEIGHTS
from cimnet.training.data_record import checksum_of_all, how_read
from cimnet.training.loop import Note, Report
from cimnet.training.recipe import Recipe
from cimnet.training.run_folder import MAY_CHANGE, flat
from cimnet.training.runs_table import is_finished
from cimnet.training.seeds import require_seeds
from cimnet.training.setup import open_split, require_whole_batch
from cimnet.utils.files import require_new_folder, require_writable, write_text
from cimnet.utils.ledger import Ledger
from cimnet.utils.locks import OutputLock
from cimnet.utils.numbers import pluralize
from cimnet.utils.pool import map_in_threads
from cimnet.weights.locate import identity_of

_OF_FOLDS = frozenset({"data.train", "data.val", "training.seed"})
"""Fields of the recipe that each run has for itself."""
_MAY_CHANGE = (MAY_CHANGE | _OF_FOLDS) - {"training.epochs", "training.evaluate_every"}


def cross_validate(
    recipe: Recipe,
    out: Path,
    *,
    folds: Path | None = None,
    seeds: Sequence[int] | None = None,
    report: Report | None = None,
    note: Note = lambda _: None,
) -> CrossResult:
    """Train by a recipe once on each fold of its data set, and score each model on the images that it did not see.

    ``out/seed0/fold0`` … are run folders; ``out/cross_validation.json`` and ``out/images.npz`` hold the result: scores,
    and a confusion matrix of each image (see :class:`HeldOut`), for every seed that is complete. Called again, it goes
    on: with an interrupted run from its newest state, past those that are scored. Further seeds are added to those that
    are there. The folder ``out/seed0`` of a complete seed may be removed: what it scored is in the two files.

    Args:
        recipe: its ``data.train`` and ``data.val`` are those of the folds. A class may lack pixels in the training part
            of a fold, but not in all of them, unless ``data.allow_absent``.
        out: new or empty, or the folder of this cross-validation.
        folds: folder of the lists; None: ``folds`` in the data set. See
            :func:`cimnet.curation.split.folds.divide_into_folds`.
        seeds: None: the recipe's.
        report: see :func:`cimnet.training.train`.
        note: called with sentences on the data, and with a line before and after each run.

    Returns:
        The result, with what was there before.

    Raises:
        CimnetError: bad data, lists or recipe, a folder that holds something else or a cross-validation with other
            settings, lists or files, or another process that works in it.
        Stopped: a signal ended a run; everything is saved.
    """
    seeds = [recipe.training.seed] if seeds is None else list(seeds)
    require_seeds(seeds)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("cross-validate trains in one process; start it without torchrun or accelerate launch")
    lists = read_fold_lists(recipe.data.root, folds, recipe.data.layout)
    tested = [open_split(recipe, lists.split(fold, "test"), cache="none") for fold in range(len(lists.names))]
    _require_whole_batches(recipe, lists, tested)
    untrained = _untrained_classes(recipe, lists, tested, note)
    ledger = _ledger(recipe, out, lists, tested)
    if not ledger.path.is_file():
        require_new_folder(out, "choose another --out")
    require_writable(out)
    with OutputLock(out, doing="works in it"):
        ledger.require_same()
        seeds = list(dict.fromkeys([*ledger.notes().get("seeds", []), *seeds]))
        groups = {name: lists.groups[name] for dataset in tested for name in dataset.ids}
        result = CrossResult(tested[0].classes, groups, untrained, tuple(seeds))
        work = _Work(recipe, out, lists, report, note)
        work.collect(result, ledger)
        _write(result, out, ledger)
        for seed in seeds:
            for fold in result.folds:
                if (seed, fold) not in result.found:
                    result.found[seed, fold] = work.run(seed, fold)
                    _write(result, out, ledger)
    return result


def _write(result: CrossResult, out: Path, ledger: Ledger) -> None:
    """Images first: what the record calls complete is there."""
    images = result.held_out()
    if images is not None:
        images.write(out / FILE)
    ledger.write(**result.to_dict())


@dataclass(frozen=True)
class _Work:
    """The runs of one cross-validation."""

    recipe: Recipe
    out: Path
    lists: FoldLists
    report: Report | None
    note: Note
    said: set[str] = field(default_factory=set)

    def folder(self, seed: int, fold: int) -> Path:
        return self.out / f"seed{seed}" / f"fold{fold}"

    def collect(self, result: CrossResult, ledger: Ledger) -> None:
        """Read what is scored already: from the run folders, or of a complete seed without them from the record."""
        result.found |= self.without_folders(ledger.notes().get("by_seed", {}))
        for seed in result.seeds:
            for fold in result.folds:
                path = self.folder(seed, fold) / FILE
                if path.is_file():
                    result.found[seed, fold] = read_held_out(path, "delete it, and the fold will be scored again")

    def without_folders(self, by_seed: dict[str, dict[str, Any]]) -> dict[tuple[int, int], HeldOut]:
        """The results of those runs of complete seeds whose folders are gone. The record's confusion matrix of a seed
        tells which matrices of the images are its own."""
        folds = range(len(self.lists.names))
        gone = {(int(seed), fold) for seed in by_seed for fold in folds if not self.folder(int(seed), fold).exists()}
        if not gone:
            return {}
        remedy = "restore it or the run folders, or choose another --out"
        images = read_held_out(self.out / FILE, remedy)
        pooled = images.pooled.tolist()
        own = [np.isin(images.ids, parts["test"]) for parts in self.lists.names]
        found = {}
        for seed, fold in sorted(gone):
            scored, held = by_seed[str(seed)], own[fold]
            number = next((k for k, matrix in enumerate(pooled) if matrix == scored["confusion"]), None)
            if number is None:
                raise DataError(f"{self.out / FILE}: holds no result of seed {seed}, which lacks run folders; {remedy}")
            ids = tuple(np.array(images.ids)[held].tolist())
            found[seed, fold] = HeldOut(ids, images.matrices[number : number + 1, held])
        return found

    def run(self, seed: int, fold: int) -> HeldOut:
        """Train on one fold and score it."""
        folder, name = self.folder(seed, fold), f"seed {seed}, fold {fold}"
        splits = {part: self.lists.split(fold, part) for part in ("train", "val")}
        recipe = self.recipe.with_fields("training", seed=seed).with_fields("data", **splits, allow_absent=True)
        self.note(f"{name} of {len(self.lists.names)} …")
        if not is_finished(folder, recipe):
            try:
                train(recipe, folder, resume=True, report=self.report, note=self.once)
            except Stopped as stopped:
                raise Stopped(
                    f"stopped in {name}; everything is saved in {self.out}; repeat the command to resume",
                    stopped.signal,
                ) from stopped
        scored = self.score(folder, self.lists.split(fold, "test"))
        self.note(f"{name}: {pluralize(len(scored.ids), 'image')} tested")
        return scored

    def once(self, sentence: str) -> None:
        """Pass on what a run says of its data, weights and model, unless a run before it said the same."""
        if sentence not in self.said:
            self.said.add(sentence)
            self.note(sentence)

    def score(self, folder: Path, split: str) -> HeldOut:
        """Score a finished run on its test part, and keep that beside it. The images are of the data set that the model
        was made for, so values outside the thermal range of its training part are clipped, not refused."""
        predictor = load(folder, force_range=True)
        data = self.recipe.data
        test_set = predictor.open_dataset(data.root, split, layout=data.layout, broken=data.broken)
        ids: list[str] = []
        matrices: list[Matrix] = []

        def keep(name: str, matrix: Matrix) -> None:
            ids.append(name)
            matrices.append(matrix)

        evaluation = evaluate(predictor.segment, test_set, device=predictor.device, workers=data.workers, each=keep)
        held_out = HeldOut(tuple(ids), np.stack(matrices)[None])
        write_text(folder / "test.json", evaluation.to_json())
        held_out.write(folder / FILE)  # last: what is there is scored
        return held_out


def _ledger(recipe: Recipe, out: Path, lists: FoldLists, tested: Sequence[RGBTDataset]) -> Ledger:
    """With which settings, lists, files, ways to read them and first weights the results in a folder were made."""
    pairs = sorted((pair for dataset in tested for pair in dataset.pairs), key=lambda pair: pair.id)
    made_with = {**flat(recipe), FOLDS: lists.digest, **checksum_of_all(pairs), **how_read(tested[0])}
    if recipe.model.weights is not None:  # the same path may hold other weights by the next fold
        made_with[WEIGHTS] = identity_of(recipe.model.weights)
    return Ledger(out / RECORD, made_with, "choose another --out", ignore=_MAY_CHANGE, later=LATER, section=SECTION)


def _require_whole_batches(recipe: Recipe, lists: FoldLists, tested: Sequence[RGBTDataset]) -> None:
    """Refuse folds with too few pairs to train on, before the first of them is trained.

    Raises:
        ConfigError: naming the training part with the fewest pairs.
    """
    kept = {name for dataset in tested for name in dataset.ids}  # without those that data.broken drops
    sizes = [len(kept.intersection(names["train"])) for names in lists.names]
    smallest = sizes.index(min(sizes))
    require_whole_batch(recipe, lists.split(smallest, "train"), sizes[smallest])


def _untrained_classes(
    recipe: Recipe, lists: FoldLists, tested: Sequence[RGBTDataset], note: Callable[[str], object]
) -> tuple[tuple[str, ...], ...]:
    """Find the classes by fold that no label of the training part holds, and report them.

    Raises:
        DataError: a label that cannot be used, or a class without a pixel in any label, without ``allow_absent``.
    """
    classes, pixels = tested[0].classes, _pixels(tested)
    total = sum(pixels.values(), np.zeros(len(classes), np.int64))
    absent = [name for name, count in zip(classes, total, strict=True) if not count]
    if absent and not recipe.data.allow_absent:
        raise DataError(
            f"{recipe.data.root}: no label has a pixel of {name_some(absent, 6)}; correct the labels or the class "
            "list, or give --allow-absent (data.allow_absent: true) to continue without"
        )
    found = []
    for fold, names in enumerate(lists.names):
        held = sum((pixels[name] for name in names["train"] if name in pixels), np.zeros(len(classes), np.int64))
        found.append(tuple(name for name, count in zip(classes, held, strict=True) if not count))
        if new := [name for name in found[-1] if name not in absent]:
            note(f"fold {fold}: no label of its training part has a pixel of {name_some(new, 6)}: it learns none of it")
    return tuple(found)


def _pixels(tested: Sequence[RGBTDataset]) -> dict[str, npt.NDArray[np.int64]]:
    """Pixels of each class, (K,), by pair."""
    found: dict[str, npt.NDArray[np.int64]] = {}
    for dataset in tested:
        counts = map_in_threads(partial(count_label, dataset), dataset.pairs)
        found |= {pair.id: count[: len(dataset.classes)] for pair, count in zip(dataset.pairs, counts, strict=True)}
    return found


__all__ = ["CrossResult", "cross_validate"]
