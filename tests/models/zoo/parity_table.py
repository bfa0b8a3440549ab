"""How far every network is from its original: a table in Markdown, from the full vectors.

python -m tests.models.zoo.parity_table              # all; half an hour and three gigabytes
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


def row(kind: type[ParityTester]) -> str:
    """A line: variant, parameters, weights by name, cases, largest differences over all cases, largest logit."""
    names = len(str(vectors.read(kind.original)["weights"]).splitlines())
    exact, rounded, largest = 0.0, 0.0, 0.0
    for case in kind.cases:
        [file] = [f for f in vectors.FULL.glob(f"*{kind.original}-{case}.npz") if "inter" not in f.name]
        with np.load(file) as arrays:
            expected = arrays["logits"]
        tester = kind()
        model = tester.filled(case)
        exact = max(exact, np.abs(tester.run(model, case).numpy() - expected).max())
        found = tester.run(copy.deepcopy(model).float(), case).double().numpy()
        rounded = max(rounded, np.abs(found - expected).max())
        largest = max(largest, np.abs(expected).max())
    cases = ", ".join(case.replace("x", "×", 1) for case in kind.cases)
    cells = (
        kind.network,
        f"{kind.parameters:,}",
        f"{names:,}",
        cases,
        f"{exact:.1e}",
        f"{rounded:.1e}",
        f"{largest:.1f}",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """The command line."""
    print("| variant | parameters | weights | cases | float64 | float32 | largest logit |")
    print("|---|---:|---:|---|---:|---:|---:|")
    for kind in testers():
        if fnmatch.fnmatch(kind.network, (sys.argv[1:] or ["*"])[0]):
            print(row(kind), flush=True)


if __name__ == "__main__":
    main()
