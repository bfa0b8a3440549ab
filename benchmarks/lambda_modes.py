"""How λ and L_mi run when λ is balanced, fixed and free (the literal reading of eq. 24), as one figure.

python benchmarks/lambda_modes.py small_scenes --data data/late --out runs/lambda --figure docs/images/lambda.png
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from matplotlib.figure import Figure

from cimnet.training import train
from cimnet.training.recipe import load_recipe
from cimnet.utils.figures import save_figure

MODES = {"balanced": ("#0072b2", "-"), "fixed": ("#009e73", ":"), "free": ("#d55e00", "--")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--figure", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    axes = figure.subplots(1, 2)
    for mode, (color, style) in MODES.items():
        settings = [
            f"data.root={json.dumps(str(options.data))}",
            f"loss.mutual_information_weight={mode}",
            *options.set,
        ]
        rows: list[dict[str, float]] = []
        train(load_recipe(options.recipe, settings), options.out / mode, report=rows.append)
        steps = [row for row in rows if "miou" not in row]
        for place, key in zip(axes, ("lambda", "mutual_information"), strict=True):
            place.plot(
                [row["step"] for row in steps], [row[key] for row in steps], color=color, linestyle=style, label=mode
            )
        last = steps[-20:]
        means = {key: sum(row[key] for row in last) / len(last) for key in ("lambda", "mutual_information")}
        print(
            f"{mode}: last 20 steps λ {means['lambda']:+.3f}, L_mi {means['mutual_information']:.3f} nats", flush=True
        )
    axes[0].axhline(0, color="black", linewidth=0.8)
    for place, title in zip(axes, ("λ", "L_mi on training batches (nats)"), strict=True):
        place.set(title=title, xlabel="step")
        place.grid(alpha=0.3)
        place.legend()
    save_figure(figure, options.figure)


if __name__ == "__main__":
    main()
