"""Train CIMNet and the reference models by one recipe with several seeds; score each clean, misaligned and with a
failing sensor; print a table.

    python benchmarks/compare_robustness.py robust_scenes --data data/scenes --strong data/strong --out runs/robust

Runs and conditions that are finished are kept, so the command can be repeated after an interruption, and gains seeds
and rows; --table prints what is there and trains nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from cimnet.data import RGBTDataset
from cimnet.evaluation.figures import save_figure
from cimnet.inference import load
from cimnet.reproduce.runs import Plan, Variant
from cimnet.reproduce.tables import spread
from cimnet.robustness import Condition, RobustnessReport, measure_robustness, parse_corruption

ENCODER = "efficientnet_lite0"
WHOLE = "augmentation.modality_dropout=0"  # a model of one sensor learns nothing from pairs that lack it …
# … and thermal images alone do not tell by how much they were displaced
MODELS = {
    "CIMNet + alignment": ("cimnet", "model.explicit_alignment=true"),
    "CIMNet": ("cimnet",),
    "parallel rectification": ("parallel_rectification",),
    "addition": ("addition",),
    "early fusion": ("early_fusion",),
    "RGB only": ("rgb_only", WHOLE),
    "thermal only": ("thermal_only", WHOLE, "augmentation.misalignment=0"),
}
DEFAULT = ("translation=5,10,20", "affine=20", "time_lag=15", "blackout=100", "thermal_blur=4")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--strong", type=Path, help="a second set, scored as it is (its split test)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS), metavar="MODEL")
    parser.add_argument("--corruption", nargs="+", default=DEFAULT, help="NAME=LEVELS")
    parser.add_argument("--set", nargs="+", default=[], help="settings of all runs, section.field=value")
    parser.add_argument("--figure", type=Path, help="curves over translation")
    parser.add_argument("--table", action="store_true", help="print the tables of finished runs, train nothing")
    options = parser.parse_args()
    conditions = [condition for text in options.corruption for condition in parse_corruption(text)]
    found: dict[str, list[dict[str, RobustnessReport]]] = {name: [] for name in options.models}
    for seed in options.seeds:
        for name in options.models:
            family, *settings = MODELS[name]
            variant = Variant(name.replace(" ", "_"), (f"model.name={family}_{ENCODER}", *settings))
            plan = Plan(options.recipe, options.data, options.out, [seed], options.set, say=print)
            folder = options.out / f"{variant.name}_seed{seed}"
            if options.table and not (folder / "test.json").is_file():
                continue
            if not (folder / "test.json").is_file():
                plan.run([variant])
            found[name].append(measure(folder, options, conditions))
    for score in ("miou", "moving"):
        print(f"\n{score}\n" + table(found, score), flush=True)
    if options.figure:
        save_figure(plot(found), options.figure)


def measure(folder: Path, options: argparse.Namespace, conditions: list[Condition]) -> dict[str, RobustnessReport]:
    """Reports of one trained model on both sets."""
    predictor = load(folder)
    reports = {}
    for place, root, wanted in (("robustness", options.data, conditions), ("strong", options.strong, [])):
        if root is not None:
            dataset: RGBTDataset = predictor.open_dataset(root, "test")
            reports[place] = measure_robustness(folder, dataset, folder / place, conditions=wanted, batch_size=8)
    return reports


def columns(reports: dict[str, RobustnessReport]) -> dict[str, Callable[[dict[str, RobustnessReport]], object]]:
    """What is shown of a run: a point of a report by title."""
    wanted = {p.condition.title: ("robustness", k) for k, p in enumerate(reports["robustness"].points)}
    if "strong" in reports:
        wanted["strong offsets"] = ("strong", 0)
    return {title: (lambda r, place=place, k=k: r[place].points[k]) for title, (place, k) in wanted.items()}


def table(found: dict[str, list[dict[str, RobustnessReport]]], score: str) -> str:
    """Markdown: a row per model, mean ± standard deviation over the seeds."""
    first = next(runs[0] for runs in found.values() if runs)
    cells = columns(first)
    lines = ["| model | seeds | " + " | ".join(cells) + " |", "|---|---:|" + "---:|" * len(cells)]
    for name, runs in found.items():
        if runs:
            row = [spread([getattr(point(run), score) for run in runs]) for point in cells.values()]
            lines.append(f"| {name} | {len(runs)} | " + " | ".join(row) + " |")
    return "\n".join(lines)


def plot(found: dict[str, list[dict[str, RobustnessReport]]]):
    """mIoU of all and of moving classes over the added translation, with the spread over seeds."""
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    for place, score in enumerate(("miou", "moving"), start=1):
        axes = figure.add_subplot(1, 2, place)
        for name, runs in found.items():
            if not runs:
                continue
            reports = [run["robustness"] for run in runs]
            levels = [0.0, *(p.condition.amount for p in reports[0].curves["translation"].points)]
            points = [[r.clean, *r.curves["translation"].points] for r in reports]
            values = 100 * np.array([[getattr(p, score) for p in row] for row in points])
            (line,) = axes.plot(levels, values.mean(0), marker=".", label=name)
            axes.fill_between(levels, values.min(0), values.max(0), color=line.get_color(), alpha=0.15)
        axes.set_title("mIoU" if score == "miou" else "mIoU of moving classes")
        axes.set_xlabel("added translation, px")
        axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


if __name__ == "__main__":
    main()
