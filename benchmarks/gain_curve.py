"""Does the gain of CIMNet's parts grow with training? mIoU on val against steps, from the logs of finished runs.

    python benchmarks/gain_curve.py runs/gain --figure docs/images/gain.png

The runs are those of `benchmarks/jobs.sh`: folders VARIANT-SEED in one folder, each evaluated along the way, and scored
on test (its test.json). Every variant is compared with `none`, the model without the paper's parts, of the same seed
and at the same step. Pairs of val choose the checkpoint of a run, so use the curves to see a trend, and the scores on
test to compare.

The scores go into the JSON file, beside those of other runs that it holds, so runs of several machines add up. Prints
tables of all that the file holds; --figure draws the curves.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from cimnet.evaluation.spread import mean_and_spread
from cimnet.training.recipe import load_recipe
from cimnet.utils.figures import save_figure
from cimnet.utils.tables import markdown_table
from evidence import EVIDENCE_FOLDER, read, record, say

BASE, KEY = "none", "gain"
EVIDENCE = EVIDENCE_FOLDER / "gain.json"
Curve = dict[int, float]
"""mIoU on val in points by step."""
Curves = dict[str, dict[str, Curve]]
"""By variant and seed."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="?", help="the folder that holds VARIANT-SEED")
    parser.add_argument("--figure", type=Path, help="write the curves as an image")
    parser.add_argument("--json", type=Path, default=EVIDENCE)
    options = parser.parse_args(arguments)
    if options.runs is not None:
        add(options.runs, options.json)
    curves, on_test = known(options.json)
    if not curves.get(BASE):
        parser.error(
            f"{options.runs or options.json}: no run {BASE}-SEED with an evaluation to compare the others with"
        )
    say(f"{table(curves)}\n{test_table(on_test)}")
    if options.figure is not None:
        save_figure(draw(curves), options.figure)


def runs_in(file: Path) -> dict[str, Any]:
    """What the JSON file holds, by VARIANT-SEED."""
    runs: dict[str, Any] = read(file).get(KEY, {}).get("runs", {})
    return runs


def add(folder: Path, file: Path) -> None:
    """Put the runs of a folder into the JSON file, beside those that it holds; again what both have."""
    runs = runs_in(file)
    for log in sorted(folder.glob("*-*/log.jsonl")):
        rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        steps = steps_of_epoch(log.parent)
        curve = {str(steps * row["epoch"]): 100 * row["miou"] for row in rows if row.get("miou") is not None}
        if curve:
            scored = read(log.parent / "test.json")
            runs[log.parent.name] = {"val": curve, "test": 100 * scored["miou"] if scored else None}
    record(KEY, {"runs": dict(sorted(runs.items()))}, file)


def known(file: Path) -> tuple[Curves, dict[str, dict[str, float]]]:
    """Curves, and scores on test in points, of all runs in the JSON file, by variant and seed."""
    curves: Curves = defaultdict(dict)
    on_test: dict[str, dict[str, float]] = defaultdict(dict)
    for name, run in runs_in(file).items():
        variant, _, seed = name.rpartition("-")
        curves[variant][seed] = {int(step): miou for step, miou in run["val"].items()}
        if run["test"] is not None:
            on_test[variant][seed] = run["test"]
    return dict(curves), dict(on_test)


def steps_of_epoch(run: Path) -> int:
    """Steps of the optimiser in an epoch of a run."""
    training = load_recipe(run / "recipe.yaml").training
    pairs = len(json.loads((run / "data.json").read_text(encoding="utf-8"))["train"])
    return math.ceil(pairs // training.batch_size / training.accumulate)


def gains(curves: Curves, variant: str) -> dict[int, list[float]]:
    """Points above `none` by step, one for each seed that has both."""
    found: dict[int, list[float]] = defaultdict(list)
    for seed, curve in curves[variant].items():
        base = curves[BASE].get(seed, {})
        for step in sorted(curve.keys() & base.keys()):
            found[step].append(curve[step] - base[step])
    return dict(sorted(found.items()))


def table(curves: Curves) -> str:
    """Markdown: a row per variant, a column per step; `none` as mIoU, the others as points above it."""
    by_step: dict[int, list[float]] = defaultdict(list)
    for curve in curves[BASE].values():
        for step, value in curve.items():
            by_step[step].append(value)
    steps = sorted(by_step)
    rows = [[BASE, len(curves[BASE]), *(mean_and_spread(by_step[step], 1) for step in steps)]]
    for variant in curves:
        if variant != BASE and (gained := gains(curves, variant)):
            cells = [mean_and_spread(gained[step], 1, "+") if step in gained else "" for step in steps]
            rows.append([f"{variant} − {BASE}", max(map(len, gained.values())), *cells])
    return markdown_table(["mIoU on val", "seeds", *(f"{step:,} steps" for step in steps)], rows)


def test_table(on_test: dict[str, dict[str, float]]) -> str:
    """Markdown: mIoU on test, and the points above `none` of the same seed."""
    rows = []
    for variant, scores in on_test.items():
        gained = [miou - on_test[BASE][seed] for seed, miou in scores.items() if seed in on_test.get(BASE, {})]
        gain = mean_and_spread(gained, 1, "+") if gained and variant != BASE else ""
        rows.append([variant, len(scores), mean_and_spread(list(scores.values()), 1), gain])
    return markdown_table(["variant", "seeds", "mIoU on test", f"above {BASE}"], rows)


def draw(curves: Curves) -> Figure:
    """The gains against steps: a line per variant through the means, a point per seed."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    axes.axhline(0, color="black", linewidth=0.8)
    for variant in curves:
        if variant == BASE or not (gained := gains(curves, variant)):
            continue
        (line,) = axes.plot(list(gained), [sum(v) / len(v) for v in gained.values()], label=variant)
        points = [(step, value) for step, values in gained.items() for value in values]
        axes.scatter(*zip(*points, strict=True), s=10, color=line.get_color())
    axes.set(xlabel="step", ylabel=f"mIoU on val above {BASE}, points")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper")
    return figure


if __name__ == "__main__":
    main()
