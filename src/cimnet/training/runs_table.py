"""Runs in a table: what each was, how far it came, what it scored; those that differ in the seed alone together. Runs
on other data are another experiment; the same data at another place are not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cimnet.errors import CimnetError, DataError
from cimnet.evaluation.spread import spread
from cimnet.training.cross_record import FILE as CROSS
from cimnet.training.cross_record import CrossRecord, read_record
from cimnet.training.data_record import read_data_digest
from cimnet.training.recipe import Recipe, load_recipe
from cimnet.training.run_folder import DATA_ACCESS, MAY_CHANGE, flat, read_starts, recipe_ledger
from cimnet.utils.locks import is_locked

SEED = "training.seed"
NO_SETTING = DATA_ACCESS | {"training.trackers", SEED}
"""Fields that make no other experiment; of the data, `Run.data_digest` tells."""
_ROOT = "data.root"
TESTED, OF_FOLDS = "mIoU on test", "mean of folds"


@dataclass(frozen=True)
class Run:
    """A run folder, read; or the folder of a cross-validation, whose runs count as one.

    Attributes:
        status: ``running``, ``finished``, ``stopped`` or ``begun`` (no epoch is whole).
        epochs: whole ones; of a cross-validation, those of all its runs.
        miou, best_epoch: best score on val and when, None before the first evaluation.
        seconds: of training, without evaluation.
        started: clock of its first start, UTC.
        starts: how often it was started.
        test: mIoU in ``test.json`` of the folder, None without one; of a cross-validation, the mean over its seeds of
            the mIoU over all images.
        data_digest: of the recorded data (`digest_of`), None where an older version recorded none.
        cross: record of the cross-validation; None: this is one run.
    """

    folder: Path
    recipe: Recipe
    status: str
    epochs: int
    miou: float | None
    best_epoch: int | None
    seconds: float
    started: str | None
    starts: int
    test: float | None
    data_digest: str | None
    cross: CrossRecord | None = None

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The recipe's fields, ``section.field`` to value."""
        return flat(self.recipe)

    @cached_property
    def experiment(self) -> str:
        """The same for runs whose recipes differ in the seed and the place of the data alone."""
        settings = {field: value for field, value in self.settings.items() if field not in NO_SETTING}
        return json.dumps(settings) + ("" if self.cross is None else " cross-validated")

    @property
    def root(self) -> str:
        """Folder of the data set."""
        return str(self.settings[_ROOT])

    @property
    def epochs_planned(self) -> int:
        """Number of epochs in the recipe, summed over all runs that count as one."""
        return self.recipe.training.epochs * (1 if self.cross is None else self.cross.planned)

    def to_dict(self, fields: Sequence[str] = ()) -> dict[str, Any]:
        """Return the run for JSON, with some fields of the recipe."""
        return {
            "run": str(self.folder),
            "model": self.recipe.model.name,
            "seed": self.recipe.training.seed,
            "status": self.status,
            "epochs": self.epochs,
            "epochs_planned": self.epochs_planned,
            "miou": self.miou,
            "best_epoch": self.best_epoch,
            "test": self.test,
            "data": self.data_digest,
            "seconds": round(self.seconds, 1),
            "started": self.started,
            "starts": self.starts,
            **({} if self.cross is None else self.cross.to_dict()),
            **{field: self.settings[field] for field in fields},
        }


def find_runs(folders: Sequence[Path]) -> list[Run]:
    """Find all runs at or below some folders, sorted by path. The runs of a cross-validation are one.

    Raises:
        DataError: a folder does not exist, or there is no run in any.
        CimnetError: the recipe of a run cannot be read.
    """
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder")
    crossed = {path.parent for folder in folders for path in folder.rglob(CROSS)}
    single = {path.parent for folder in folders for path in folder.rglob("recipe.yaml")}
    single = {folder for folder in single if crossed.isdisjoint(folder.parents)}
    runs = [read_crossed(folder) if folder in crossed else read_run(folder) for folder in sorted(single | crossed)]
    if not runs:
        raise DataError(f"{', '.join(map(str, folders))}: it contains no runs; `cimnet train` makes one")
    return runs


def read_run(folder: Path) -> Run:
    """One run.

    Raises:
        CimnetError: its recipe or log cannot be read.
    """
    recipe = load_recipe(folder / "recipe.yaml")
    log, scores = folder / "log.jsonl", folder / "test.json"
    try:
        rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.is_file() else []
        test = json.loads(scores.read_text(encoding="utf-8")).get("miou") if scores.is_file() else None
        scored = [row for row in rows if "miou" in row]
        best = max(scored, key=lambda row: row["miou"], default=None)
        seconds = sum(row.get("seconds", 0.0) for row in rows)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CimnetError(f"{folder}: log.jsonl or test.json cannot be read ({error}); remove or restore it") from error
    starts = read_starts(folder / "environment.json")
    return Run(
        folder,
        recipe,
        _status(folder, len(rows), recipe.training.epochs),
        len(rows),
        None if best is None else best["miou"],
        None if best is None else best["epoch"],
        seconds,
        starts[0].get("clock") if starts else None,
        len(starts),
        test,
        read_data_digest(folder),
    )


def read_crossed(folder: Path) -> Run:
    """A cross-validation as one run.

    Raises:
        CimnetError: its record, or the recipe or log of one of its runs, cannot be read.
    """
    record = read_record(folder)
    runs = [read_run(path.parent) for path in sorted(folder.rglob("recipe.yaml"))]
    known = [score for score in record.miou if score is not None]
    return Run(
        folder,
        record.recipe,
        _status(folder, record.done, record.planned),
        sum(run.epochs for run in runs),
        None,
        None,
        sum(run.seconds for run in runs),
        min((run.started for run in runs if run.started), default=None),
        sum(run.starts for run in runs),
        sum(known) / len(known) if known else None,
        record.data_digest,
        record,
    )


def is_finished(folder: Path, recipe: Recipe) -> bool:
    """Whether a folder holds a run of this recipe that came to its end."""
    known = (folder / "recipe.yaml").is_file() and (folder / "best.safetensors").is_file()
    return (
        known
        and recipe_ledger(folder, recipe, MAY_CHANGE - {"training.epochs"}).state() == "same"
        and (read_run(folder).status == "finished")
    )


def _status(folder: Path, done: int, planned: int) -> str:
    if is_locked(folder):
        return "running"
    if done >= planned:
        return "finished"
    return "stopped" if done else "begun"


def differences(runs: Sequence[Run]) -> list[str]:
    """Fields of the recipes in which the runs differ, apart from :data:`NO_SETTING` and the model's name; ``data.root``
    among them where the data differ."""
    fields = [field for field in runs[0].settings if field not in NO_SETTING and field != "model.name"]
    places = dict(zip(_data_keys(runs), (run.root for run in runs), strict=True))  # the same data may lie at several
    moved = len(set(places.values())) > 1 or _changed_in_place(runs)
    fields = [field for field in fields if len({json.dumps(run.settings[field]) for run in runs}) > 1]
    return [_ROOT] * moved + fields


def _changed_in_place(runs: Sequence[Run]) -> bool:
    """Whether runs differ in their data, though neither in their settings nor in the folder of the data."""
    known = {(run.experiment, run.root, key) for run, key in zip(runs, _data_keys(runs), strict=True)}
    return len({(experiment, root) for experiment, root, _ in known}) < len(known)


def by_seed(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs on the same data whose recipes differ in the seed alone, together; in the order of the first of each."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run, key in zip(runs, _data_keys(runs), strict=True):
        groups.setdefault((run.experiment, key), []).append(run)
    return list(groups.values())


def _data_keys(runs: Sequence[Run]) -> list[str]:
    """Return what tells the data of each run: its digest, completed by the one that says more of the same experiment;
    without a digest, the one of that experiment in the same folder, or else that folder."""
    keys = [run.data_digest or "" for run in runs]
    keys = _completed(keys, [run.experiment if key else "" for run, key in zip(runs, keys, strict=True)])
    keys = _completed(keys, [(run.experiment, run.root) for run in runs])
    return [key or run.root for run, key in zip(runs, keys, strict=True)]


def _completed(keys: Sequence[str], places: Sequence[object]) -> list[str]:
    """Each key, or the longer one that begins with it, if there is exactly one at its place."""
    known: dict[object, set[str]] = {}
    for key, place in zip(keys, places, strict=True):
        known.setdefault(place, set()).add(key)
    completed = []
    for key, place in zip(keys, places, strict=True):
        longer = [other for other in known[place] if other != key and other.startswith(key)]
        completed.append(longer[0] if len(longer) == 1 else key)
    return completed


def table(runs: Sequence[Run], group: bool = False) -> tuple[list[str], list[list[str]]]:
    """Header and rows as text; ``group``: one row for the runs that differ in the seed alone, mean ± deviation."""
    fields, in_place = differences(runs), _changed_in_place(runs)
    tested = [TESTED] if any(run.test is not None for run in runs) else []
    tested += [OF_FOLDS] if any(run.cross is not None and run.cross.over_folds for run in runs) else []
    if group:
        header = ["runs", "model", "seeds", "mIoU on val", *tested, *fields]
        groups = by_seed(runs)
        return header, [[*_group_row(own, tested), *_settings(own[0], fields, in_place)] for own in groups]
    header = ["run", "model", "seed", "status", "epochs", "mIoU on val", *tested, "minutes", "started (UTC)", *fields]
    return header, [[*_row(run, tested), *_settings(run, fields, in_place)] for run in runs]


def _row(run: Run, tested: Sequence[str]) -> list[str]:
    best = "" if run.miou is None else f"{100 * run.miou:.1f} (epoch {run.best_epoch})"
    cells = [str(run.folder), run.recipe.model.name, _seeds(run), run.status]
    cross = run.cross
    cells += [f"{run.epochs}/{run.epochs_planned}" if cross is None else f"{cross.done}/{cross.planned} folds", best]
    cells += _test_cells([run], tested)
    return [*cells, f"{run.seconds / 60:.1f}", (run.started or "")[:16].replace("T", " ")]


def _group_row(runs: Sequence[Run], tested: Sequence[str]) -> list[str]:
    first = runs[0]
    seeds = ", ".join(map(_seeds, runs))
    cells = [str(first.folder if len(runs) == 1 else first.folder.parent), first.recipe.model.name, seeds]
    return [*cells, _scores([run.miou for run in runs]), *_test_cells(runs, tested)]


def _settings(run: Run, fields: Sequence[str], in_place: bool) -> list[str]:
    """Values of fields; ``in_place``: the folder of the data does not tell them, so their digest is there, too."""
    cells = {field: str(run.settings[field]) for field in fields}
    if in_place:
        cells[_ROOT] += f" ({run.data_digest or 'not recorded'})"
    return list(cells.values())


def _seeds(run: Run) -> str:
    seeds = [run.recipe.training.seed] if run.cross is None else run.cross.seeds
    return ", ".join(map(str, seeds))


def _test_cells(runs: Sequence[Run], tested: Sequence[str]) -> list[str]:
    """The cells below the headings ``tested`` for runs that differ in the seed alone."""
    cells = {
        TESTED: _scores([score for run in runs for score in _tests(run)]),
        OF_FOLDS: ", ".join(run.cross.over_folds for run in runs if run.cross is not None),
    }
    return [cells[heading] for heading in tested]


def _tests(run: Run) -> Sequence[float | None]:
    """mIoU on test, by seed."""
    return [run.test] if run.cross is None else run.cross.miou


def _scores(values: Sequence[float | None]) -> str:
    return spread(values) if any(value is not None for value in values) else ""
