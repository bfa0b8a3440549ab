"""How redundant the stage-1 features of trained models are, by probes that the loss does not know.

python benchmarks/redundancy.py --data data/late --broken drop runs/table3/row8_seed* runs/variants/mi_off_seed*

A row per kind of run: folders named KIND_seedN are averaged. Prints the table; --out writes it, too.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import cimnet
from cimnet.analysis.redundancy import Redundancy, measure_redundancy
from cimnet.evaluation import evaluate
from cimnet.evaluation.spread import mean_and_spread
from cimnet.models import CIMNet
from cimnet.utils.files import write_text
from cimnet.utils.tables import markdown_table

COLUMNS = ("cka", "r2", "r2_reverse", "estimate", "entropy_rgb", "entropy_thermal")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--broken", default="keep", choices=["keep", "drop", "only"])
    parser.add_argument("--out", type=Path, help="write the table as Markdown")
    options = parser.parse_args(arguments)
    found: dict[str, list[tuple[Redundancy, float]]] = defaultdict(list)
    for run in options.runs:
        predictor = cimnet.load(run)
        if not isinstance(predictor.model, CIMNet):
            parser.error(f"{run}: is no CIMNet")
        data = predictor.open_dataset(options.data, options.split, broken=options.broken)
        miou = evaluate(predictor.model.predict, data, device=predictor.device).scores.miou
        found[run.name.rpartition("_seed")[0] or run.name].append(
            (measure_redundancy(predictor.model, data, device=predictor.device), 100 * miou)
        )
    rows = []
    for kind, results in found.items():
        cells = [mean_and_spread([miou for _, miou in results], 1)]
        cells += [mean_and_spread([getattr(probe, column) for probe, _ in results], 3) for column in COLUMNS]
        rows.append([kind, len(results), *cells])
    table = markdown_table(["run", "seeds", "mIoU", *COLUMNS], rows)
    print(table, end="")
    if options.out is not None:
        write_text(options.out, table)


if __name__ == "__main__":
    main()
