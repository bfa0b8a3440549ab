"""How far every network is from its original: a table in Markdown, from the full vectors.

python -m tests.models.zoo.parity_table              # all; an hour on a busy machine, three gigabytes
python -m tests.models.zoo.parity_table 'cmx_*'
"""

from __future__ import annotations

import copy
import fnmatch
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from . import vectors
from .tester import ParityTester


def testers() -> list[type[ParityTester]]:
    """The classes of all test files that compare a variant with its original."""
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        importlib.import_module(f"{__package__}.{file.stem}")
    return list(_below(ParityTester))


def _below(base: type[ParityTester]) -> Iterator[type[ParityTester]]:
    for found in base.__subclasses__():
        if hasattr(found, "network"):
            yield found
        yield from _below(found)


def rows(kind: type[ParityTester]) -> Iterator[str]:
    """A line a case: variant, parameters, weights by name, case, largest differences, largest logit."""
    names = len(str(vectors.read(kind.original)["weights"]).splitlines())
    for case in kind.cases:
        [file] = [f for f in vectors.FULL.glob(f"*{kind.original}-{case}.npz") if "inter" not in f.name]
        with np.load(file) as arrays:
            expected = arrays["logits"]
        tester = kind()
        model = tester.filled(case)
        exact = np.abs(tester.run(model, case).numpy() - expected).max()
        rounded = np.abs(tester.run(copy.deepcopy(model).float(), case).double().numpy() - expected).max()
        size = case.replace("x", "×", 1)
        cells = (kind.network, f"{kind.parameters:,}", f"{names:,}", size, f"{exact:.1e}", f"{rounded:.1e}")
        yield f"| {' | '.join(cells)} | {np.abs(expected).max():.1f} |"


def main() -> None:
    """The command line."""
    print("| variant | parameters | weights | size | float64 | float32 | largest logit |")
    print("|---|---:|---:|---|---:|---:|---:|")
    for kind in testers():
        if fnmatch.fnmatch(kind.network, (sys.argv[1:] or ["*"])[0]):
            for row in rows(kind):
                print(row, flush=True)


if __name__ == "__main__":
    main()
