"""The result of one condition, as counts; one JSON file each."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cimnet.evaluation.metrics import Matrix, scores
from cimnet.utils.files import write_text


@dataclass
class Outcome:
    """Confusion matrices of one condition (rows truth, columns prediction), as a whole and by scene.

    Attributes:
        matrix: (K, K) int64.
        scenes: matrix and number of pairs by scene; pairs of unknown scene are in `matrix` alone.
        images: mIoU of each pair by id, over the classes in its label or prediction; NaN where nothing is labelled.
    """

    matrix: Matrix
    scenes: dict[str, tuple[Matrix, int]] = field(default_factory=dict)
    images: dict[str, float] = field(default_factory=dict)

    @classmethod
    def empty(cls, num_classes: int) -> Outcome:
        """Before the first pair."""
        return cls(np.zeros((num_classes, num_classes), np.int64))

    def add(self, name: str, scene: str, matrix: Matrix) -> None:
        """Count one pair."""
        self.matrix = self.matrix + matrix
        self.images[name] = scores(matrix).miou
        if scene:
            total, pairs = self.scenes.get(scene, (np.zeros_like(matrix), 0))
            self.scenes[scene] = total + matrix, pairs + 1

    def write(self, path: Path, suite: str) -> None:
        """Write the file atomically. `suite`: digest of the suite that it belongs to."""
        content = {
            "suite": suite,
            "matrix": self.matrix.tolist(),
            "scenes": {
                name: {"pairs": pairs, "matrix": matrix.tolist()} for name, (matrix, pairs) in self.scenes.items()
            },
            "images": {name: None if math.isnan(value) else value for name, value in self.images.items()},
        }
        write_text(path, json.dumps(content) + "\n")

    @classmethod
    def read(cls, path: Path, suite: str, num_classes: int) -> Outcome:
        """Read the file.

        Raises:
            ValueError: it is damaged, or belongs to another suite.
            OSError: it cannot be read.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["suite"] != suite:
                raise ValueError("it belongs to another suite")
            return cls(
                _matrix(content["matrix"], num_classes),
                {name: (_matrix(s["matrix"], num_classes), int(s["pairs"])) for name, s in content["scenes"].items()},
                {name: math.nan if value is None else float(value) for name, value in content["images"].items()},
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error


def _matrix(rows: Any, num_classes: int) -> Matrix:
    matrix = np.array(rows)
    if matrix.shape != (num_classes, num_classes) or matrix.dtype.kind != "i" or (matrix < 0).any():
        raise ValueError(f"no confusion matrix of {num_classes} classes")
    return matrix.astype(np.int64)
