"""The confusion matrix as a figure."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from cimnet.evaluation.evaluate import Evaluation
from cimnet.utils.numbers import pluralize


def plot_confusion(evaluation: Evaluation) -> Figure:
    """Confusion matrix, each row normalised to the true pixels of its class, in per cent."""
    matrix = evaluation.matrix.astype(float)
    rows = matrix.sum(1, keepdims=True)
    share = 100 * np.divide(matrix, rows, out=np.zeros_like(matrix), where=rows > 0)
    count = len(evaluation.classes)
    figure = Figure(figsize=(2.5 + 0.55 * count, 2 + 0.5 * count), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    for row in range(count):
        for column in range(count):
            shade = "white" if share[row, column] > 55 else "black"
            axes.text(column, row, f"{share[row, column]:.0f}", ha="center", va="center", color=shade, fontsize=8)
    axes.set_xticks(range(count), evaluation.classes, rotation=45, ha="right")
    axes.set_yticks(range(count), evaluation.classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(
        f"% of true pixels, {pluralize(evaluation.images, 'image')}, mIoU {100 * evaluation.scores.miou:.1f}"
    )
    return figure
