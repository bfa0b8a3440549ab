"""Train and score variants of a recipe over seeds, resumable.

Tables of docs/notebook (mutual-information.md, offsets.md) are made from such runs.

python benchmarks/train_variants.py small_scenes --data data/late --out runs/variants \
    --variant mi_off model.mutual_information=off --variant residual model.offset_update=residual
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cimnet.analysis.reproduce.runs import Plan, Variant
from cimnet.evaluation.spread import spread


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variant", nargs="+", action="append", required=True, metavar=("NAME", "SETTING"))
    options = parser.parse_args()
    plan = Plan(options.recipe, options.data, options.out, options.seeds, say=print)
    for name, *settings in options.variant:
        variant = Variant(name, tuple(settings))
        plan.run([variant])
        print(f"| {name} | {spread([scores['miou'] for scores in plan.found(variant).values()])} |", flush=True)


if __name__ == "__main__":
    main()
