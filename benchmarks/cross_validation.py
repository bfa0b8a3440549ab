"""Cross-validation of CIMNet, its variants and other models on small real data sets, with paired tests against CIMNet.

    OMP_NUM_THREADS=1 nice python benchmarks/cross_validation.py mm5 --data data/mm5 --out runs/folds_mm5 --steps 800
    OMP_NUM_THREADS=1 nice python benchmarks/cross_validation.py apple --data data/apple --out runs/folds_apple

Images are seen at half size. Groups of images that belong together (see `arrangements` and `orchard_parts`) go into
OUT/groups.csv and stay whole; MM5 is divided into five folds, apple leaves one group out at a time. OUT/MODEL is the
cross-validation of a model. Finished folds are kept and interrupted ones go on, so the command can be repeated. After
each model the scores go into the JSON file, beside those of the other data set, and all tables into the Markdown file.
What each image scored goes into the folder beside them: from there, another machine adds models and seeds.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cimnet.analysis.cross_validation import CrossResult, cross_validate
from cimnet.analysis.cross_validation.compare import compare_runs
from cimnet.analysis.cross_validation.held_out import FILE as IMAGES
from cimnet.curation.split.division import RECORD
from cimnet.curation.split.folds import FOLDER, Folds, divide_into_folds
from cimnet.data.io.split_lists import index_images, read_names
from cimnet.errors import ConfigError
from cimnet.evaluation.spread import spread
from cimnet.training.cross_record import FILE, SECTION, read_record
from cimnet.training.recipe import load_recipe
from cimnet.utils.files import csv_text, write_text
from cimnet.utils.locks import OutputLock
from cimnet.utils.numbers import format_number
from cimnet.utils.tables import markdown_table
from evidence import EVIDENCE_FOLDER, merge, read, say

EVIDENCE = EVIDENCE_FOLDER / "cross_validation.json"


@dataclass(frozen=True)
class Model:
    """A row of the table: what it changes in the recipe, and the row that it is compared with."""

    title: str
    settings: tuple[str, ...] = ()
    against: str = "cimnet"


def _lite0(family: str) -> tuple[str, ...]:
    return (f"model.name={family}_efficientnet_lite0",)


def _from_nothing(name: str) -> tuple[str, ...]:
    return (f"model.name={name}", "model.pretrained=false")


ROBUST = ("augmentation.misalignment=10", "augmentation.corruption_prob=0.25")  # what CIMNetX is made for
MODELS = {
    "cimnet": Model("CIMNet", _lite0("cimnet"), ""),
    "mi_off": Model("CIMNet without mutual information", ("model.mutual_information=off",)),
    "rectification_off": Model(
        "CIMNet without rectification", ("model.msm=false", "model.swr=false", "model.cwr=false")
    ),
    "swr_off": Model("CIMNet without spatial rectification", ("model.swr=false",)),
    "cwr_off": Model("CIMNet without channel rectification", ("model.cwr=false",)),
    "residual_offsets": Model("CIMNet, residual offsets", ("model.offset_update=residual",)),
    "explicit_alignment": Model("CIMNet, explicit alignment", ("model.explicit_alignment=true",)),
    "cimnetx": Model("CIMNetX, gate not fitted", (*_lite0("cimnetx"), *ROBUST)),
    "parallel_rectification": Model("parallel rectification", _lite0("parallel_rectification")),
    "addition": Model("addition", _lite0("addition")),
    "early_fusion": Model("early fusion", _lite0("early_fusion")),
    "rgb_only": Model("RGB only", _lite0("rgb_only")),
    "thermal_only": Model("thermal only", _lite0("thermal_only")),
    "cimnet_resnet18": Model("CIMNet, ResNet-18, from nothing", _from_nothing("cimnet_resnet18"), ""),
    "rtfnet": Model("RTFNet, ResNet-18, from nothing", _from_nothing("rtfnet_resnet18"), "cimnet_resnet18"),
    "eaefnet": Model("EAEFNet, ResNet-18, from nothing", _from_nothing("small_eaefnet_resnet18"), "cimnet_resnet18"),
    "cimnet_mit_b0": Model("CIMNet, MiT-B0, from nothing", _from_nothing("cimnet_mit_b0"), ""),
    "cmx": Model("CMX, MiT-B0, from nothing", _from_nothing("small_cmx_mit_b0"), "cimnet_mit_b0"),
    "cmnext": Model("CMNeXt, MiT-B0, from nothing", _from_nothing("small_cmnext_mit_b0"), "cimnet_mit_b0"),
    "sigma": Model("Sigma, narrow and shallow, from nothing", _from_nothing("small_sigma"), "cimnet_mit_b0"),
}


def arrangements(root: Path) -> dict[str, str]:
    """The arrangement of each frame of MM5, named by its first frame.

    The frames of an arrangement follow each other: its objects lie on a turntable, which turns between the frames, and
    now and then an object is added or taken away. So a frame begins another arrangement if neither its objects are
    among those of the frame before, nor those among its own. Objects are the classes of `labels_fine`, which tell more
    than the labels: a whole lemon from a half one, a cup from a kettle.
    """
    found: dict[str, str] = {}
    before: set[int] = set()
    first = ""
    for name, path in index_images(root / "labels_fine").items():
        with Image.open(path) as image:
            objects = set(np.unique(np.asarray(image)).tolist()) - {0, 255}
        if not first or not (objects <= before or before <= objects):
            first = name
        found[name], before = f"from {first}", objects
    return found


def orchard_parts(root: Path) -> dict[str, str]:
    """The part of the orchard that each crop of the apple data set shows, six in all: crops of a part share ground, as
    its README found by matching them. Series 1 has two parts (1_1 to 1_7, 1_8 to 1_10); the others are 2_11, 2_16, c
    and e."""
    found = {}
    for name in index_images(root / "rgb"):
        series, _, number = name.partition("_")
        part = ("1_1 to 1_7" if int(number) <= 7 else "1_8 to 1_10") if series == "1" else name.partition("-")[0]
        found[name] = part if series in ("1", "2") else series
    return found


@dataclass(frozen=True)
class Task:
    """A data set: its groups, the number of folds (None: one for each group), steps, and what the recipe `mm5` lacks
    for it."""

    groups: Callable[[Path], dict[str, str]]
    folds: int | None
    steps: int
    settings: tuple[str, ...] = ()


TASKS = {
    "mm5": Task(arrangements, 5, 800),
    "apple": Task(
        orchard_parts,
        None,
        400,
        (
            "data.thermal_range=null",
            "data.thermal_percentiles=[0.1,99.9]",
            "augmentation.crop=[128,128]",
            "augmentation.vflip=0.5",
        ),
    ),
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set; nothing is written into it")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--folds", type=int, help="number; default: five for mm5, one for each group of apple")
    parser.add_argument("--steps", type=int, help="at least so many a fold, in whole epochs; default: 800, apple 400")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--recipe", default="mm5")
    parser.add_argument("--set", dest="settings", action="append", default=[], help="section.field=value, for all")
    parser.add_argument("--json", type=Path, default=EVIDENCE)
    options = parser.parse_args(arguments)
    with OutputLock(options.out, doing="works in it"):
        benchmark = Benchmark(options)
        for name in options.models:
            benchmark.run(name)
            benchmark.write()
    say(benchmark.table())


class Benchmark:
    """The cross-validations of one data set."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.task = options, TASKS[options.task]
        self.results: dict[str, CrossResult] = {}
        self.folds = self.divide()
        self.batch = load_recipe(options.recipe, self.shared()).training.batch_size
        pairs = min(len(parts["train"]) for parts in self.folds.names)
        self.epochs = math.ceil((options.steps or self.task.steps) / max(1, pairs // self.batch))

    def divide(self) -> Folds:
        """Write groups and folds, or check those that are there."""
        out: Path = self.options.out
        table = out / "groups.csv"
        out.mkdir(parents=True, exist_ok=True)
        write_text(table, csv_text(("name", "group"), self.task.groups(self.options.data).items()))
        count = self.options.folds or self.task.folds
        folds = divide_into_folds(self.options.data, count, groups=str(table), out=out, overwrite=True)
        lists = [out / FOLDER / str(number) / "test.txt" for number in range(len(folds.names))]
        if not (out / FOLDER / RECORD).is_file():
            folds.write()
        elif [read_names(path) for path in lists if path.is_file()] != [parts["test"] for parts in folds.names]:
            raise ConfigError(f"{out / FOLDER}: holds other folds than these options give; choose another --out")
        return folds

    def shared(self) -> list[str]:
        """What all models have in common."""
        return [f"data.root={json.dumps(str(self.options.data))}", *self.task.settings, *self.options.settings]

    def run(self, name: str) -> None:
        """Cross-validate one model."""
        every = max(1, self.epochs // 4)
        training = [f"training.epochs={self.epochs}", f"training.evaluate_every={every}"]
        recipe = load_recipe(self.options.recipe, [*self.shared(), *training, *MODELS[name].settings])
        say(f"{name} …")
        out, kept = self.options.out / name, self.options.json.with_suffix("") / self.options.task / name
        if not out.exists() and kept.is_dir():
            shutil.copytree(kept, out)
        self.results[name] = cross_validate(
            recipe, out, folds=self.options.out / FOLDER, seeds=self.options.seeds, note=say
        )
        kept.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(out / IMAGES, kept / IMAGES)
        record = json.loads((out / FILE).read_text(encoding="utf-8"))
        record[SECTION]["data.root"] = f"data/{self.options.task}"  # wherever it lies here
        write_text(kept / FILE, json.dumps(record, indent=1) + "\n")

    def write(self) -> None:
        """Put what is finished into the files."""
        merge(self.options.json, self.options.task, self.to_dict(), table, rows="models")

    def table(self) -> str:
        """This data set's table as Markdown."""
        return table(self.options.task, self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Settings and scores."""
        return {
            "recipe": Path(self.options.recipe).stem,
            "settings": self.options.settings,
            "epochs": self.epochs,
            "batch": self.batch,
            "folds": len(self.folds.names),
            "groups": len(set(self.folds.groups.values())),
            "images": len(self.folds.groups),
            "models": {name: self.row(name, result) for name, result in self.results.items()},
        }

    def row(self, name: str, result: CrossResult) -> dict[str, Any]:
        """One model's."""
        content, against = result.to_dict(), MODELS[name].against
        row = {key: content[key] for key in ("seeds", "miou", "miou_over_folds", "iou")}
        row["miou_by_seed"] = {seed: scores["miou"] for seed, scores in content["by_seed"].items()}
        before = read(self.options.json).get(self.options.task, {}).get("models", {}).get(name, {})
        row["on_val_by_epoch"] = curve(self.options.out / name) or before.get("on_val_by_epoch", {})
        record = self.options.out / against / FILE if against else None
        if record is not None and record.is_file() and read_record(record.parent).miou:
            found = compare_runs([self.options.out / against, self.options.out / name])[0].to_dict()
            paths = ("run", "against", "model")  # of this machine
            row["against"] = {"model": against, **{key: value for key, value in found.items() if key not in paths}}
        return row


def curve(folder: Path) -> dict[str, float]:
    """mIoU on val by epoch, mean over all folds and seeds: whether more steps would help."""
    found: dict[int, list[float]] = {}
    for path in folder.glob("seed*/fold*/log.jsonl"):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            if "miou" in row:
                found.setdefault(row["epoch"], []).append(row["miou"])
    return {str(epoch): float(np.nanmean(values)) for epoch, values in sorted(found.items())}


def table(task: str, content: dict[str, Any]) -> str:
    """Markdown: a row a model, in the order of `MODELS`."""
    rows = []
    for name, row in content["models"].items():
        against = row.get("against")
        points = [""] * 3
        if against:
            ends = (format_number(100 * against[end], "+.1f") for end in ("low", "high"))
            points = [
                f"{format_number(100 * against['difference'], '+.1f')} ({MODELS[against['model']].title})",
                " to ".join(ends),
                f"{against['better']} of {against['groups']}",
            ]
        folds = row["miou_over_folds"]
        of_folds = f"{100 * (folds['mean'] or 0):.1f} ± {100 * (folds['standard_deviation'] or 0):.1f}"
        rows.append([MODELS[name].title, spread(list(row["miou_by_seed"].values())), of_folds, *points])
    head = ["model", "mIoU, ± over seeds", "mean of folds, ± over folds", "difference", "95% interval", "groups better"]
    about = f"{content['images']} images in {content['groups']} groups, {content['folds']} folds"
    return (
        f"{task}: {about}, {content['epochs']} epochs of batches of {content['batch']}\n\n{markdown_table(head, rows)}"
    )


if __name__ == "__main__":
    main()
