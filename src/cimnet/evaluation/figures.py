"""Pictures of results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from cimnet.errors import ConfigError
from cimnet.evaluation.evaluate import Evaluation
from cimnet.utils.files import write_atomically

FORMATS = (".png", ".pdf", ".svg", ".jpg")


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
    axes.set_title(f"% of true pixels, {evaluation.images} images, mIoU {100 * evaluation.scores.miou:.1f}")
    return figure


def check_figure_path(path: Path) -> None:
    """Refuse a picture's path whose suffix is none of ``FORMATS``.

    Raises:
        ConfigError: naming the path.
    """
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"{path}: a picture's name must end in one of {', '.join(FORMATS)}")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure atomically; the suffix gives the format.

    Raises:
        CimnetError: an unknown suffix, or a folder that cannot be written.
    """
    check_figure_path(path)
    write_atomically(path, lambda p: figure.savefig(p, dpi=120))
