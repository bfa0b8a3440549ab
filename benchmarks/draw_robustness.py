"""mIoU over the shift between the cameras, five models: docs/images/robustness.png, from the tables of the notebook.

    python benchmarks/draw_robustness.py

The tables are those that `compare_robustness.py` prints. The lines are means over the seeds, the bands a standard
deviation to either side. The colours are Okabe and Ito's, which colour-blind readers can tell apart.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from cimnet.utils.figures import save_figure

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE, PICTURE = DOCS / "notebook" / "robustness.md", DOCS / "images" / "robustness.png"
TABLES = {"mIoU, all classes:": "all classes", "mIoU of moving classes": "moving classes"}
"""Words that come before a table, and the title of its picture."""
LINES = {
    "CIMNet + alignment, streams also decoded alone": ("#0072B2", "o"),
    "CIMNet": ("#D55E00", "s"),
    "addition": ("#009E73", "D"),
    "RGB only": ("#555555", "^"),
    "thermal only": ("#CC79A7", "v"),
}
SHIFT = re.compile(r"shift (\d+) px")


def read_table(page: str, before: str) -> tuple[list[int], dict[str, np.ndarray]]:
    """The shifts in pixels of the first table behind some words, and (mean, deviation) by model, (shifts, 2)."""
    lines = page[page.index(before) :].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| model"))
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in _table(lines[start:]))
    columns = {
        0 if title == "clean" else int(SHIFT.fullmatch(title)[1]): number  # type: ignore[index]
        for number, title in enumerate(head)
        if title == "clean" or SHIFT.fullmatch(title)
    }
    values = {row[0]: np.array([row[number].split(" ± ") for number in columns.values()], float) for row in rows}
    return list(columns), values


def _table(lines: list[str]) -> list[str]:
    end = next((number for number, line in enumerate(lines) if not line.startswith("|")), len(lines))
    return lines[:end]


def draw(page: str) -> Figure:
    """Both tables beside each other, with one legend."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    panels = figure.subplots(1, len(TABLES), sharey=True)
    for axes, (before, title) in zip(panels, TABLES.items(), strict=True):
        shifts, values = read_table(page, before)
        for name, (color, marker) in LINES.items():
            mean, deviation = values[name].T
            axes.plot(shifts, mean, color=color, marker=marker, label=name)
            axes.fill_between(shifts, mean - deviation, mean + deviation, color=color, alpha=0.15, linewidth=0)
        axes.set_title(title)
        axes.set_xlabel("shift of the thermal image, pixels of 320")
        axes.set_ylim(0, None)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("mIoU, %")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(LINES), fontsize=9)
    return figure


if __name__ == "__main__":
    save_figure(draw(PAGE.read_text(encoding="utf-8")), PICTURE)
