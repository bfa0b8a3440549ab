"""Masks on their way into a data set: all of them become label files, or none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cimnet.curation.label.pictures import png
from cimnet.data.dataset import RGBTDataset
from cimnet.data.io.pair_table import find_table
from cimnet.data.pairs import Pair
from cimnet.errors import CimnetError, DataError
from cimnet.utils.file_sets import write_together
from cimnet.utils.files import is_there
from cimnet.utils.numbers import pluralize


@dataclass(frozen=True)
class Written:
    """Counts of the label files that were written, replaced and left unchanged.

    Attributes:
        written: label files.
        replaced: of them, those that were there before with other content.
        same: labels that are there already, pixel by pixel.
    """

    written: int
    replaced: int
    same: int


class LabelFiles:
    """Label files of class ids for the pairs of a data set of the layout ``folder``.

    Attributes:
        files: what is to be written, by place.
        replaced: of these places, those that hold a label with other content.
        same: masks that are there already, pixel by pixel.

    Raises:
        DataError: the data set's label files hold other values than class ids.
    """

    def __init__(self, dataset: RGBTDataset) -> None:
        if not dataset.plain_ids:
            raise DataError(
                f"{dataset.file.path}: its label files hold other values than class ids (label_table, ignore_index or "
                "label_format); write labels into a data set without these keys"
            )
        self.dataset = dataset
        self.files: dict[Path, bytes] = {}
        self.replaced: list[Path] = []
        self._given: dict[Path, bytes] = {}
        self.same = 0

    def add(self, pair: Pair, mask: npt.NDArray[np.uint8]) -> None:
        """Remember the mask (H, W) of a pair.

        Raises:
            DataError: its place cannot be told or is no PNG file, another pair of the same place has another mask, or
                the label that is there cannot be read.
        """
        place, content = pair.label or self._place(pair.id), png(mask)
        if place in self._given:
            if self._given[place] != content:
                raise DataError(
                    f"{place}: the label of several pairs, the last {pair.id}, with different masks; give each pair a "
                    "label file of its own"
                )
            return
        self._given[place] = content
        if is_there(place):
            if np.array_equal(self.dataset.class_ids(place), mask):
                self.same += 1
                return
            self.replaced.append(place)
        if place.suffix.lower() != ".png":
            raise DataError(
                f"{place}: labels are written as PNG, and this one is none, so it is not replaced; convert it to PNG, "
                f"or move it away so that {place.stem}.png is written"
            )
        self.files[place] = content

    def write(self, overwrite: bool) -> Written:
        """Write what was added.

        Raises:
            CimnetError: labels are there and differ and `overwrite` is False, or a file cannot be written; nothing was
                written then.
        """
        if self.replaced and not overwrite:
            raise CimnetError(
                f"{self.replaced[0]}: exists and differs ({pluralize(len(self.replaced), 'label')} in all); nothing "
                "was written. --overwrite replaces them"
            )
        write_together(self.files)
        return Written(len(self.files), len(self.replaced), self.same)

    def _place(self, pair_id: str) -> Path:
        """Return the path for the label of a pair that has none."""
        dataset = self.dataset
        if table := find_table(dataset.root):
            raise DataError(
                f"{table}: names no label of {pair_id}, and this list alone says which labels are read; write them "
                f"into a copy without it (`cimnet data convert {dataset.root} NEW --to folder`), whose pairs have the "
                "same names"
            )
        pattern = dataset.file.files.get("labels", "labels/{name}")
        if pattern.count("{") != 1 or "{name}" not in pattern:
            raise DataError(
                f"{dataset.file.path}: files: labels: {pattern!r}: a new label's name cannot be told from it; use one "
                "with {name} alone"
            )
        return dataset.root / f"{pattern.replace('{name}', pair_id)}.png"
