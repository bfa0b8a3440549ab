"""The record of a cross-validation, ``cross_validation.json``: how far it came, what it scored, with which settings."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cimnet.errors import CimnetError, one_line
from cimnet.training.data_record import READ_FIELDS, SEGMENTS, digest_of
from cimnet.training.recipe import Recipe, parse_recipe

FILE = "cross_validation.json"
SECTION = "made_with"
FOLDS, WEIGHTS = "folds", "weights"
"""Entries of the section beside the fields of the recipe and those that tell the data (`how_read`, `checksum_of_all`):
digests of the lists, and of ``model.weights`` where the recipe names some."""
LATER = frozenset({*READ_FIELDS, SEGMENTS})
"""Entries that earlier versions did not record."""


@dataclass(frozen=True)
class CrossRecord:
    """A record, read.

    Attributes:
        recipe: of all folds; its seed and splits are not those of the runs.
        seeds: of the runs, as asked for.
        done, planned: runs (folds × seeds) that are scored, and all of them.
        miou: pooled over all tested images, of each seed that is complete; 0..1, None where no class can be judged.
        content: everything that the file holds.
    """

    recipe: Recipe
    seeds: tuple[int, ...]
    done: int
    planned: int
    miou: tuple[float | None, ...]
    content: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the content for the JSON of ``cimnet runs``."""
        return {
            "seeds": list(self.seeds),
            "folds_done": self.done,
            "folds_planned": self.planned,
            "test_over_seeds": self.content.get("miou"),
            "test_over_folds": self.content.get("miou_over_folds"),
        }

    @property
    def data_digest(self) -> str | None:
        """`digest_of` what the record says of the data and folds; None: an older version wrote it."""
        recorded = {name: value for name, value in self.content[SECTION].items() if "." not in name and name != WEIGHTS}
        later = {name: recorded.pop(name) for name in LATER & recorded.keys()}
        return digest_of(recorded, later)

    @property
    def over_folds(self) -> str:
        """The mean ± sample standard deviation of the folds' mIoU, in per cent; empty where it is not known."""
        found = self.content.get("miou_over_folds") or {}
        mean, deviation = found.get("mean"), found.get("standard_deviation")
        if mean is None:
            return ""
        return f"{100 * mean:.1f}" if deviation is None else f"{100 * mean:.1f} ± {100 * deviation:.1f}"


def read_record(folder: Path) -> CrossRecord:
    """The record in the folder of a cross-validation.

    Raises:
        CimnetError: there is none, or it cannot be read.
    """
    path = folder / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        sections: dict[str, dict[str, Any]] = {}
        for name, value in content[SECTION].items():
            section, dot, field = name.partition(".")
            if dot:
                sections.setdefault(section, {})[field] = value
        return CrossRecord(
            parse_recipe(sections, str(path)),
            tuple(content["seeds"]),
            content["done"],
            content["planned"],
            tuple(scores["miou"] for scores in content["by_seed"].values()),
            content,
        )
    except FileNotFoundError as error:
        raise CimnetError(f"{folder}: holds no cross-validation; `cimnet cross-validate` makes one") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CimnetError(f"{path}: cannot be read ({one_line(error)}); remove or restore it") from error
