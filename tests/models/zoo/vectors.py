"""Logits of the original networks, for the weights and images of :mod:`tests.models.zoo.fill`.

The full vectors lie outside of the repository. ``python -m tests.models.zoo.vectors FOLDER`` writes an extract of each
into ``vectors/``: `SAMPLES` logits at places that the size decides, the largest one, and the names of all weights.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

HERE = Path(__file__).parent / "vectors"
FULL = Path(__file__).parents[4] / "shared" / "reference" / "zoo"
SAMPLES = 300
Array = npt.NDArray[Any]


def places(size: int) -> Array:
    """Which entries of a flat array of ``size`` logits are kept."""
    return np.sort(np.random.default_rng(0).choice(size, SAMPLES, replace=False))


def write(folder: Path) -> None:
    """Make the extracts from a folder with ``keys-NAME.json`` and ``NAME-….npz`` or ``vec-NAME-….npz``."""
    HERE.mkdir(exist_ok=True)
    for keys in sorted(folder.glob("keys-*.json")):
        name = keys.stem.removeprefix("keys-")
        found = {}
        for file in sorted(folder.glob(f"*{name}-*.npz")):
            case = file.stem.removeprefix("vec-").removeprefix(f"{name}-")
            if file.stem.removeprefix("vec-").startswith(f"{name}-") and "inter" not in file.stem:
                with np.load(file) as arrays:
                    for part in ("logits", "binary", "boundary"):
                        if part in arrays and case[0].isdigit():
                            logits = arrays[part]
                            found[f"{case}/{part}"] = logits.ravel()[places(logits.size)]
                            found[f"{case}/{part}/largest"] = np.abs(logits).max()
        lines = [f"{key} {'x'.join(map(str, shape))}" for key, shape in json.loads(keys.read_text()).items()]
        found["weights"] = np.array("\n".join(sorted(lines)))
        np.savez_compressed(HERE / f"{name}.npz", **found)


def read(name: str) -> dict[str, Array]:
    """The extract of one network: ``HxW…/logits`` and so on, and ``weights``, a line ``name shape`` for each."""
    with np.load(HERE / f"{name}.npz", allow_pickle=False) as arrays:
        return dict(arrays)


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else FULL)
