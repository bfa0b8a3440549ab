"""Run a model over a data set and count: overall, by scene and by flag."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from cimnet.data import Batch, RGBTDataset, collate
from cimnet.errors import DataError
from cimnet.evaluation.metrics import Absent, Matrix, Scores, confusion_matrix, scores
from cimnet.utils.numbers import format_percent, json_number, pluralize
from cimnet.utils.signals import leave_signals_to_parent
from cimnet.utils.tables import markdown_table

Predict = Callable[[Tensor, Tensor], Tensor]


@dataclass
class Evaluation:
    """Confusion matrices of a data set, as a whole and by group.

    Groups are scenes (``day``, ``night``, ``dark_night``) and flags (``rgb_broken``, ``weakly_aligned`` …). If some
    pairs have a flag, those without one form the group ``unflagged``.

    Attributes:
        classes: class names, in the order of the ids.
        absent: convention for classes without a pixel, see :class:`cimnet.evaluation.Scores`.
        matrix: (K, K) int64, pixels by true class (row) and predicted class (column).
        images: number of images counted.
        groups: by name, the matrix and the number of images of a group.
    """

    classes: tuple[str, ...]
    absent: Absent = "ignore"
    matrix: Matrix = field(init=False)
    images: int = 0
    groups: dict[str, tuple[Matrix, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.matrix = self._empty()

    def _empty(self) -> Matrix:
        return np.zeros((len(self.classes), len(self.classes)), dtype=np.int64)

    def add(self, matrix: Matrix, groups: list[str]) -> None:
        """Add one image's confusion matrix to the whole and to its groups."""
        self.matrix += matrix
        self.images += 1
        for name in groups:
            total, count = self.groups.get(name, (self._empty(), 0))
            self.groups[name] = (total + matrix, count + 1)

    @property
    def scores(self) -> Scores:
        """Scores over all images."""
        return scores(self.matrix, self.absent)

    def to_dict(self) -> dict[str, object]:
        """The content of ``--json``: scores in 0..1, null for a class without a pixel to judge by."""
        total = self.scores
        return {
            "miou": json_number(total.miou),
            "pixel_accuracy": json_number(total.pixel_accuracy),
            "iou": self._by_class(total.iou),
            "accuracy": self._by_class(total.accuracy),
            "f1": self._by_class(total.f1),
            "images": self.images,
            "absent": self.absent,
            "groups": {
                name: {
                    "miou": json_number(scores(matrix, self.absent).miou),
                    "iou": self._by_class(scores(matrix, self.absent).iou),
                    "images": count,
                }
                for name, (matrix, count) in sorted(self.groups.items())
            },
            "confusion": self.matrix.tolist(),
        }

    def to_json(self) -> str:
        """:meth:`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def to_markdown(self) -> str:
        """Two tables in per cent: scores by class, then mean IoU by group."""
        total = self.scores
        columns = zip(self.classes, total.iou, total.accuracy, total.f1, strict=True)
        rows = [[name, *map(format_percent, values)] for name, *values in columns]
        mean, accuracy = format_percent(total.miou), format_percent(total.pixel_accuracy)
        rows.append(["**mean IoU**", f"**{mean}**", f"pixels {accuracy}", ""])
        convention = "left out of the mean" if self.absent == "ignore" else "counted as 0"
        note = f"{pluralize(self.images, 'image')}; classes absent from truth and prediction are {convention}."
        groups = [
            (name, images, format_percent(scores(matrix, self.absent).miou))
            for name, (matrix, images) in sorted(self.groups.items())
        ]
        text = f"{markdown_table(['class', 'IoU', 'accuracy', 'F1'], rows)}\n{note}\n"
        return f"{text}\n{markdown_table(['group', 'images', 'mIoU'], groups)}" if groups else text

    def _by_class(self, values: np.ndarray) -> dict[str, float | None]:
        return {name: json_number(value) for name, value in zip(self.classes, values, strict=True)}


def evaluate(
    predict: Predict,
    dataset: RGBTDataset,
    *,
    absent: Absent = "ignore",
    device: torch.device | str = "cpu",
    workers: int = 0,
    progress: Callable[[int], None] | None = None,
    indices: list[int] | None = None,
    each: Callable[[str, Matrix], object] | None = None,
) -> Evaluation:
    """Compare predictions with labels, image by image; sizes may differ.

    Args:
        predict: called with images (1, 3, H, W) and (1, C, H, W), float32 in 0..1 on ``device``; returns class ids (1,
            H, W). For example ``model.predict``, or ``predictor.segment`` with what :func:`cimnet.load` returns.
        dataset: pairs with labels.
        absent: what a class counts that has neither true nor predicted pixels: "ignore" leaves it out of the mean IoU,
            "zero" counts it as 0.
        device: where the images are put before ``predict`` is called.
        workers: processes that read the pairs; 0: this one.
        progress: called with the number of images done after each image.
        indices: pairs to evaluate, by their index in the data set. None: all.
        each: called after each image with the pair's id and its confusion matrix (K, K).

    Returns:
        Confusion matrices; ``.scores.miou`` is the mean IoU in 0..1.

    Raises:
        DataError: a pair has no label, an id lies outside the classes, or a prediction has another size than its label.
    """
    result = Evaluation(tuple(dataset.classes), absent)
    any_flag = any(dataset.flags)
    for done, batch in enumerate(load_pairs(dataset, indices, workers), start=1):
        if batch.label is None:
            raise DataError(f"{batch.ids[0]}: has no label, so it cannot be evaluated; use `cimnet predict`")
        ids = predict(batch.rgb.to(device), batch.thermal.to(device))
        try:
            matrix = confusion_matrix(batch.label[0].numpy(), ids[0].cpu().numpy(), len(dataset.classes))
        except DataError as error:
            raise DataError(f"{batch.ids[0]}: {error}") from error
        flags = sorted(batch.flags[0]) or (["unflagged"] if any_flag else [])
        result.add(matrix, [*([batch.scenes[0]] if batch.scenes[0] else []), *flags])
        if each is not None:
            each(batch.ids[0], matrix)
        if progress is not None:
            progress(done)
    return result


def load_pairs(dataset: RGBTDataset, indices: list[int] | None = None, workers: int = 0) -> Iterator[Batch]:
    """Read pairs in batches of one, so that their sizes may differ.

    Args:
        dataset: the pairs.
        indices: pairs to read, by their index. None: all.
        workers: processes that read; 0: this one.
    """
    loader: Any = DataLoader(
        Subset(dataset, indices if indices is not None else list(range(len(dataset)))),
        batch_size=1,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=leave_signals_to_parent,
    )
    yield from loader


__all__ = ["Evaluation", "Predict", "evaluate", "load_pairs"]
