"""Published networks and CIMNet at equal budgets: small versions, trained from nothing with the same recipe, crops,
steps and loss; the learning rate of each is chosen on val.

    cimnet data synth data/small --train 320 --val 16 --test 64 --height 192 --width 256
    OMP_NUM_THREADS=1 nice python benchmarks/equal_budgets.py small_scenes --data data/small --out runs/equal_scenes
    OMP_NUM_THREADS=1 nice python benchmarks/equal_budgets.py small_mm5 --data data/mm5 --out runs/equal_mm5

Runs that are finished are kept and interrupted ones go on, so the command can be repeated after an interruption. After
each run the scores go into the JSON file, beside those of other recipes, and all of its tables into the Markdown file.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cimnet.analysis.reproduce.runs import Plan, Variant
from cimnet.evaluation.spread import spread
from cimnet.models import create_model
from cimnet.models.complexity import measure_budget
from cimnet.training.recipe import load_recipe
from cimnet.training.setup import open_splits
from cimnet.utils.locks import OutputLock
from cimnet.utils.tables import markdown_table
from evidence import EVIDENCE_FOLDER, merge, say

NETWORKS = {
    "cimnet_resnet18": "CIMNet, ResNet-18",
    "cimnet_mit_b0": "CIMNet, MiT-B0",
    "rtfnet_resnet18": "RTFNet, ResNet-18",
    "small_eaefnet_resnet18": "EAEFNet, ResNet-18",
    "small_cmx_mit_b0": "CMX, MiT-B0",
    "small_cmnext_mit_b0": "CMNeXt, MiT-B0",
    "small_sigma": "Sigma, narrow and shallow",
}
EVIDENCE = EVIDENCE_FOLDER / "equal_budgets.json"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--steps", type=int, default=160, help="at least so many; whole epochs are trained")
    parser.add_argument("--crop", type=int, nargs=2, default=(96, 128), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rates", type=float, nargs="+", default=[0.002, 0.0005], help="learning rates to choose from")
    parser.add_argument("--json", type=Path, default=EVIDENCE)
    options = parser.parse_args(arguments)
    comparison = Comparison(options)
    with OutputLock(options.out, doing="works in it"):
        comparison.choose_rates()
        comparison.score()
    say(comparison.write())


@dataclass(frozen=True)
class Choice:
    """A network with the learning rate that did best on val, and the scores of that rate and of the others."""

    network: str
    rate: float
    on_val: dict[float, float]


class Comparison:
    """The runs of one data set: first one of each network with each learning rate, then the other seeds of the best."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.choices: list[Choice] = []
        given = load_recipe(options.recipe, [f"data.root={json.dumps(str(options.data))}"])
        train_set, _ = open_splits(given)
        self.classes, self.batch = len(train_set.classes), given.training.batch_size
        each = len(train_set) // self.batch
        self.epochs = math.ceil(options.steps / each)
        self.steps = self.epochs * each

    def plan(self, split: str, seeds: Sequence[int]) -> Plan:
        """What all runs share."""
        height, width = self.options.crop
        shared = (
            "model.pretrained=false",
            f"augmentation.crop=[{height},{width}]",
            f"training.epochs={self.epochs}",
            f"training.evaluate_every={self.epochs}",
        )
        return Plan(self.options.recipe, self.options.data, self.options.out, seeds, shared, split, say=say)

    @staticmethod
    def variant(network: str, rate: float) -> Variant:
        """One network with one learning rate. Published networks have the dropout of their authors."""
        own = () if network.startswith("cimnet_") else ("model.dropout=null",)
        return Variant(f"{network}_rate{rate:g}", (f"model.name={network}", f"training.learning_rate={rate}", *own))

    def choose_rates(self) -> None:
        """Train each network with each rate and the first seed, and keep the best on val."""
        seed = self.options.seeds[0]
        plan = self.plan("val", [seed])
        for network in self.options.networks:
            variants = {rate: self.variant(network, rate) for rate in self.options.rates}
            plan.run(list(variants.values()))
            on_val = {rate: plan.found(variant)[seed]["miou"] or 0.0 for rate, variant in variants.items()}
            self.choices.append(Choice(network, max(on_val, key=on_val.__getitem__), on_val))

    def score(self) -> None:
        """Train the other seeds and score all on test."""
        plan = self.plan("test", self.options.seeds)
        plan.run([self.variant(choice.network, choice.rate) for choice in self.choices], self.write)

    def write(self) -> str:
        """Put what is finished into the files. Returns the tables as Markdown."""
        return merge(self.options.json, Path(self.options.recipe).stem, self.to_dict(), table, rows="networks")

    def to_dict(self) -> dict[str, Any]:
        """Settings, costs and scores."""
        return {
            "steps": self.steps,
            "batch": self.batch,
            "crop": list(self.options.crop),
            "rates": self.options.rates,
            "networks": {choice.network: self.row(choice) for choice in self.choices},
        }

    def row(self, choice: Choice) -> dict[str, Any]:
        """One network's."""
        model = create_model(choice.network, self.classes)
        scores = self.plan("test", self.options.seeds).found(self.variant(choice.network, choice.rate))
        return {
            "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
            "macs": measure_budget(model, (self.options.crop[0], self.options.crop[1])).macs,
            "rate": choice.rate,
            "miou_on_val_by_rate": {f"{rate:g}": value for rate, value in choice.on_val.items()},
            "miou": {str(seed): content["miou"] for seed, content in scores.items()},
            "iou": {str(seed): content["iou"] for seed, content in scores.items()},
        }


def table(recipe: str, content: dict[str, Any]) -> str:
    """Markdown: a row a network, mIoU as mean ± standard deviation over the seeds, the best first."""
    height, width = content["crop"]
    rows = sorted(content["networks"].items(), key=lambda item: -_mean(item[1]["miou"]))
    lines = [
        [
            NETWORKS[network],
            f"{row['parameters'] / 1e6:.1f}",
            f"{row['macs'] / 1e9:.2f}",
            f"{row['rate']:g}",
            len(row["miou"]),
            spread(list(row["miou"].values())),
        ]
        for network, row in rows
    ]
    head = ["network", "parameters (M)", f"GMACs at {height}×{width}", "learning rate", "seeds", "mIoU on test"]
    steps = f"{content['steps']} steps, batch {content['batch']}, crops of {height}×{width}, no pretrained weights"
    return f"Recipe {recipe}: {steps}\n\n{markdown_table(head, lines)}"


def _mean(scores: dict[str, float | None]) -> float:
    values = [score or 0.0 for score in scores.values()]
    return sum(values) / max(1, len(values))


if __name__ == "__main__":
    main()
