"""What the starter is worth as a beginning: training from it against training from ImageNet weights alone, on real
pairs, at 10, 25, 50 and 100 % of the training pairs.

    OMP_NUM_THREADS=1 nice python benchmarks/transfer.py mm5 --data data/mm5 --out runs/transfer/mm5
    OMP_NUM_THREADS=1 nice python benchmarks/transfer.py apple --data data/apple --out runs/transfer/apple
    OMP_NUM_THREADS=1 nice python benchmarks/transfer.py msrs-real --data data/msrs-real --out runs/transfer/msrs-real

The pairs are divided into folds that keep groups together: frames of one arrangement and crops of one piece of
ground, as in cross_validation.py (OUT/groups.csv lists them), and photographs that look alike. Another division than
that of the runs in OUT is refused. Run k is tested on fold k, fold k + 1 is val, and the others are for training. Its
smaller shares are parts of its larger ones. Both beginnings see the same pairs with the same seed, recipe and number
of steps, so their difference is taken run by run. The last epoch counts; nothing is chosen.

Finished runs are kept and interrupted ones go on, so the command can be repeated. After each run the scores go into the
JSON file, beside those of other data sets, and its tables into the Markdown file. What the JSON file holds is not run
again, on another machine either.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cimnet.analysis.reproduce.runs import Plan, Variant
from cimnet.curation.split import split_dataset
from cimnet.data.io.split_lists import list_text, read_names
from cimnet.errors import ConfigError
from cimnet.evaluation.spread import spread
from cimnet.training.recipe import load_recipe
from cimnet.utils.files import csv_text, write_text
from cimnet.utils.locks import OutputLock
from cimnet.utils.tables import markdown_table
from cimnet.weights.locate import identity_of
from cross_validation import arrangements, orchard_parts
from evidence import EVIDENCE_FOLDER, merge, read, say

EVIDENCE = EVIDENCE_FOLDER / "transfer.json"
STARTER_MODEL = ("model.explicit_alignment=true", "model.decode_alone=true", "model.exchange_dropout=1")
"""Both beginnings train the network that the starter is."""


@dataclass(frozen=True)
class DataSet:
    """How a data set is trained on and divided.

    Attributes:
        recipe, overrides: see :func:`cimnet.training.recipe.load_recipe`.
        lists: the lists whose pairs have labels.
        groups: a function that gives the group of each pair of a data set, or what
            :func:`cimnet.curation.split.split_dataset` takes.
        folds: number of folds.
    """

    recipe: str
    overrides: tuple[str, ...]
    lists: tuple[str, ...]
    groups: Callable[[Path], dict[str, str]] | str
    folds: int


DATA_SETS = {
    "mm5": DataSet("small_mm5", (), ("train", "val", "test"), arrangements, 5),
    "apple": DataSet(
        "own",
        ("data.thermal_percentiles=[0.1,99.9]", "augmentation.crop=[192,256]", "data.workers=0", "data.cache=ram"),
        ("train", "val", "test"),
        orchard_parts,
        6,
    ),
    "msrs-real": DataSet("msrs_real", ("data.val=val",), ("train", "test"), "near", 4),
}
BEGINNINGS = {"imagenet": (), "starter": ("model.weights=starter",)}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=DATA_SETS)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--recipe", help="in place of the data set's")
    parser.add_argument("--shares", type=int, nargs="+", default=[10, 25, 50, 100], help="per cent of training pairs")
    parser.add_argument("--runs", type=int, help="so many folds are tested; all without it")
    parser.add_argument("--steps", type=int, default=200, help="at least so many; whole epochs are trained")
    parser.add_argument("--set", nargs="+", default=[], metavar="FIELD=VALUE", help="overrides of the recipe")
    parser.add_argument("--json", type=Path, default=EVIDENCE)
    options = parser.parse_args(arguments)
    comparison = Transfer(options)
    with OutputLock(options.out, doing="works in it"):
        comparison.run()
    say(comparison.write())


class Transfer:
    """The runs of one data set."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.known = options, DATA_SETS[options.dataset]
        self.recipe = options.recipe or self.known.recipe
        self.starter = identity_of("starter")
        root = f"data.root={json.dumps(str(options.data))}"
        self.batch = load_recipe(self.recipe, [root, *self.known.overrides, *options.set]).training.batch_size
        self.scores: dict[str, dict[str, dict[str, float | None]]] = {}
        self.lists = ""  # digest of the folds

    def run(self) -> None:
        """Train and score everything that is missing, the smallest shares first."""
        folds = self.folds()
        self.require_same(folds)
        tested = range(self.options.runs or len(folds))
        for share in self.options.shares:
            for number in tested:
                self.compare(folds, number, share)
                self.write()

    def folds(self) -> list[list[str]]:
        """Names of the pairs of each fold, the same each time."""
        everything = self.view("labelled", {"labelled": self.labelled()})
        parts = {f"fold{k}": 1 / self.known.folds for k in range(self.known.folds)}
        classes = load_recipe(self.recipe, list(self.known.overrides)).data.classes
        groups = self.known.groups
        if not isinstance(groups, str):
            table = self.options.out / "groups.csv"
            write_text(table, csv_text(("name", "group"), groups(self.options.data).items()))
            groups = str(table)
        division = split_dataset(
            everything, parts=parts, of="labelled", groups=groups, classes=classes, out=self.options.out
        )
        return [division.names[part] for part in parts]

    def require_same(self, folds: list[list[str]]) -> None:
        """Refuse runs and scores that were made otherwise, such as with other folds or another starter; take over the
        scores of those that were not."""
        text = json.dumps(folds) + "\n"
        self.lists = hashlib.sha256(text.encode()).hexdigest()[:16]
        record: Path = self.options.out / f"{self.options.dataset}_folds.json"
        made = any(self.options.out.glob(f"{self.options.dataset}_*_seed*"))
        if (record.read_text(encoding="utf-8") if record.is_file() else made * "unknown") not in ("", text):
            raise ConfigError(f"{self.options.out}: holds runs on other folds than these; choose another --out")
        before = read(self.options.json).get(self.options.dataset, {})
        kinds = {"starter": "of another starter", "folds": "of other folds", "lists": "of other folds"}
        for key, value in self.made_with().items():
            if before and before.get(key) != value:
                what = kinds.get(key, f"made with other {key}")
                raise ConfigError(
                    f"{self.options.json}: its {self.options.dataset} is {what}; choose another --json and --out"
                )
        write_text(record, text)
        self.scores = before.get("miou", {})

    def labelled(self) -> list[str]:
        """Names of all pairs that have a label."""
        lists = [self.options.data / f"{name}.txt" for name in self.known.lists]
        return [name for path in lists for name in read_names(path)]

    def view(self, name: str, lists: dict[str, list[str]]) -> Path:
        """A folder that shows the data set with other lists."""
        folder: Path = self.options.out / "views" / f"{self.options.dataset}_{name}"
        folder.mkdir(parents=True, exist_ok=True)
        for entry in self.options.data.iterdir():
            if (entry.is_dir() or entry.suffix == ".yaml") and not (folder / entry.name).is_symlink():
                (folder / entry.name).symlink_to(entry.resolve())
        for split, names in lists.items():
            write_text(folder / f"{split}.txt", list_text(names))
        return folder

    def compare(self, folds: list[list[str]], number: int, share: int) -> None:
        """One run of each beginning on the same pairs, unless the JSON file holds both."""
        known = self.scores.setdefault(str(share), {})
        if all(str(number) in known.get(beginning, {}) for beginning in BEGINNINGS):
            return
        val = (number + 1) % len(folds)
        rest = [name for k, names in enumerate(folds) if k not in (number, val) for name in names]
        random.Random(number).shuffle(rest)
        train = rest[: max(2, round(len(rest) * share / 100))]
        view = self.view(f"{share}_{number}", {"train": sorted(train), "val": folds[val], "test": folds[number]})
        batch = min(self.batch, len(train))
        epochs = math.ceil(self.options.steps / (len(train) // batch))
        overrides = (
            *self.known.overrides,
            *STARTER_MODEL,
            *self.options.set,
            f"training.batch_size={batch}",
            f"training.epochs={epochs}",
            f"training.evaluate_every={epochs}",
            "data.allow_absent=true",
        )
        plan = Plan(self.recipe, view, self.options.out, [number], overrides, say=say)
        for beginning, own in BEGINNINGS.items():
            variant = Variant(f"{self.options.dataset}_{beginning}_{share}_fold{number}", own)
            plan.run([variant])
            miou = plan.found(variant)[number]["miou"]
            known.setdefault(beginning, {})[str(number)] = miou

    def write(self) -> str:
        """Put what is finished into the files. Returns the tables as Markdown."""
        return merge(self.options.json, self.options.dataset, {**self.made_with(), "miou": self.scores}, table)

    def made_with(self) -> dict[str, Any]:
        """What all runs have in common."""
        return {
            "starter": self.starter,
            "recipe": Path(self.recipe).stem,
            "settings": self.options.set,
            "steps": self.options.steps,
            "folds": self.known.folds,
            "lists": self.lists,
        }


def table(dataset: str, content: dict[str, Any]) -> str:
    """Markdown: a row a share, mIoU on test as mean ± standard deviation over the folds, and the paired difference."""
    rows = []
    for share, scores in content["miou"].items():
        both = sorted(set(scores["imagenet"]) & set(scores.get("starter", {})))
        pairs = [(scores["imagenet"][fold], scores["starter"][fold]) for fold in both]
        gains = [None if None in pair else pair[1] - pair[0] for pair in pairs]
        rows.append([f"{share} %", len(both), *(spread(side) for side in zip(*pairs, strict=True)), spread(gains, "+")])
    head = ["training pairs", "folds", "from ImageNet weights", "from the starter", "difference"]
    said = (
        f"{dataset}: recipe {content['recipe']}, at least {content['steps']} steps, {content['folds']} folds; mIoU (%)"
    )
    return f"{said}\n\n{markdown_table(head, rows)}"


if __name__ == "__main__":
    main()
