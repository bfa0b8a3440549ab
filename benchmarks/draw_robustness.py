"""mIoU over the shift between the cameras, five models: docs/images/robustness.png, from docs/evidence/robustness.json.

    python benchmarks/draw_robustness.py

The figures are those of the tables that `compare_robustness.py` prints. The lines are means over the seeds, the bands
a standard deviation to either side. The colours are Okabe and Ito's, which colour-blind readers can distinguish.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cimnet.utils.figures import save_figure

DOCS = Path(__file__).resolve().parent.parent / "docs"
FIGURES, PICTURE = DOCS / "evidence" / "robustness.json", DOCS / "images" / "robustness.png"
PANELS = ("all classes", "moving classes")
LINES = {
    "CIMNet + alignment, streams also decoded alone": ("#0072B2", "o"),
    "CIMNet": ("#D55E00", "s"),
    "addition": ("#009E73", "D"),
    "RGB only": ("#555555", "^"),
    "thermal only": ("#CC79A7", "v"),
}
SHIFT = re.compile(r"shift (\d+) px")


def read_shifts(rows: dict[str, Any]) -> tuple[list[int], np.ndarray]:
    """The shifts in pixels of one model's conditions, 0 for clean, and mean and deviation at each, (shifts, 2)."""
    found = {0: rows["clean"]} | {int(match[1]): rows[name] for name in rows if (match := SHIFT.fullmatch(name))}
    return list(found), np.array(list(found.values()))


def draw(figures: dict[str, Any]) -> Figure:
    """Draw all classes and moving classes beside each other, with one legend."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for axes, title in zip(panels, PANELS, strict=True):
        for name, (color, marker) in LINES.items():
            shifts, values = read_shifts(figures[title][name])
            mean, deviation = values.T
            axes.plot(shifts, mean, color=color, marker=marker, label=name)
            axes.fill_between(shifts, mean - deviation, mean + deviation, color=color, alpha=0.15, linewidth=0)
        axes.set_title(title)
        axes.set_xticks(shifts)
        axes.set_xlabel("shift of the thermal image, pixels of 320")
        axes.set_ylim(0, None)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("mIoU, %")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(LINES), fontsize=9)
    return figure


if __name__ == "__main__":
    save_figure(draw(json.loads(FIGURES.read_text(encoding="utf-8"))), PICTURE)
