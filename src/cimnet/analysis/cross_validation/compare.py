"""Cross-validations against each other, image by image: is the difference more than the choice of images?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cimnet.analysis.cross_validation.held_out import FILE, read_held_out
from cimnet.errors import ConfigError, DataError
from cimnet.evaluation.paired import PairedDifference, paired_difference
from cimnet.training.cross_record import FOLDS, SECTION, CrossRecord, read_record
from cimnet.utils.numbers import format_number, pluralize
from cimnet.utils.tables import markdown_table


@dataclass(frozen=True)
class Comparison:
    """A cross-validation against another one: how much more it scores than that."""

    folder: Path
    against: Path
    model: str
    paired: PairedDifference

    def to_dict(self) -> dict[str, Any]:
        """Return the content for JSON, scores in 0..1; ``first`` is what is compared against."""
        return {
            "run": str(self.folder),
            "against": str(self.against),
            "model": self.model,
            "difference": self.paired.difference,
            **asdict(self.paired),
            "warning": self.paired.warning,
        }


def compare_runs(folders: Sequence[Path]) -> list[Comparison]:
    """Compare cross-validations with the first of them, see :func:`cimnet.evaluation.paired_difference`.

    The confusion matrices of each image are averaged over the seeds before.

    Raises:
        ConfigError: fewer than two folders.
        CimnetError: a folder without a cross-validation, one of which no seed is complete, or runs with other folds,
            images, classes or labels.
    """
    if len(folders) < 2:
        raise ConfigError("--compare: give the folders of two cross-validations or more; all are compared to the first")
    records = [read_record(folder) for folder in folders]
    _require_same_folds(folders, records)
    matrices = [_by_image(folder, len(record.miou)) for folder, record in zip(folders, records, strict=True)]
    names = list(matrices[0])
    groups = [records[0].content["group_of"][name] for name in names]
    first = np.stack([matrices[0][name] for name in names])
    found = []
    for folder, record, other in zip(folders[1:], records[1:], matrices[1:], strict=True):
        if other.keys() != matrices[0].keys():
            raise DataError(f"{folder}: not the tested images of {folders[0]}; compare runs with one data.broken")
        try:
            paired = paired_difference(first, np.stack([other[name] for name in names]), groups)
        except DataError as error:
            raise DataError(f"{folders[0]} and {folder}: {error}") from error
        found.append(Comparison(folder, folders[0], record.recipe.model.name, paired))
    return found


def comparison_table(found: Sequence[Comparison]) -> str:
    """Markdown, in per cent and points, and what it says."""
    against = found[0]
    rows = [
        [
            comparison.folder,
            comparison.model,
            f"{100 * comparison.paired.second:.1f}",
            format_number(100 * comparison.paired.difference, "+.1f"),
            f"{_points(comparison.paired.low)} to {_points(comparison.paired.high)}",
            f"{comparison.paired.better} of {comparison.paired.groups} (worse: {comparison.paired.worse})",
        ]
        for comparison in found
    ]
    head = ["run", "model", "mIoU", "difference", "95% interval", "groups better"]
    warning = f" {against.paired.warning}" if against.paired.warning else ""
    return (
        f"Against {against.against}, mIoU {100 * against.paired.first:.1f}:\n\n{markdown_table(head, rows, 'llr')}\n"
        "mIoU over all tested images, seeds averaged; differences in points. The interval is a bootstrap over "
        f"{against.paired.groups} groups of images: if it contains 0, these images do not show which model is better."
        f"{warning}\n"
    )


def _points(value: float) -> str:
    return format_number(100 * value, "+.1f")


def _require_same_folds(folders: Sequence[Path], records: Sequence[CrossRecord]) -> None:
    first = records[0].content
    for folder, record in zip(folders, records, strict=True):
        if not record.miou:
            raise DataError(f"{folder}: no seed is complete; repeat its command to resume")
        content = record.content
        if content["classes"] != first["classes"]:
            raise DataError(f"{folder}: its classes are not those of {folders[0]}; compare runs on one data set")
        if content[SECTION].get(FOLDS) != first[SECTION].get(FOLDS):
            raise DataError(f"{folder}: its folds are not those of {folders[0]}; compare runs on the same lists")


def _by_image(folder: Path, seeds: int) -> dict[str, npt.NDArray[np.float64]]:
    """Confusion matrix of each image, mean over the seeds."""
    remedy = "repeat the command of the cross-validation to write it again"
    images = read_held_out(folder / FILE, remedy)
    if len(images.matrices) != seeds:
        raise DataError(
            f"{folder / FILE}: holds {pluralize(len(images.matrices), 'seed')}, the record {seeds}; {remedy}"
        )
    return dict(zip(images.ids, images.matrices.mean(0), strict=True))
