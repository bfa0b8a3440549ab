"""The paper's figures 9 and 11 for any data set, and lists of what was found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from cimnet.curation.stats import LIGHT, Stats
from cimnet.data.flags import FLAG_LISTS
from cimnet.data.io.split_lists import list_text
from cimnet.errors import DataError
from cimnet.utils.colors import hex_color
from cimnet.utils.file_sets import write_together
from cimnet.utils.numbers import describe, pluralize


def plot_classes(stats: Stats) -> Figure:
    """Fig. 9: the share of each class in the labelled pixels, logarithmic: rare classes differ by powers of ten."""
    figure = Figure(figsize=(1.6 + 0.75 * len(stats.classes), 4), layout="constrained")
    axis = figure.subplots()
    shares = [100 * share for share in stats.shares()]
    colors = [hex_color(color) for color in stats.colors]
    bars = axis.bar(range(len(shares)), shares, color=colors, edgecolor="0.3", linewidth=0.8)
    axis.bar_label(bars, [f"{share:.2g}%" for share in shares], fontsize=8)
    axis.set_xticks(range(len(shares)), [describe(name) for name in stats.classes], rotation=30, ha="right")
    axis.set_yscale("log")
    axis.set_ylim(max(min([s for s in shares if s > 0] or [1]) / 3, 1e-4), 250)
    axis.set_ylabel("share of labelled pixels, %")
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def plot_offsets(stats: Stats) -> Figure:
    """Fig. 11: (a) how many pairs are weakly aligned, (b) static and dynamic offsets along x and y.

    Raises:
        DataError: no offsets were estimated.
    """
    found = stats.offsets()
    if not found["pairs"]:
        raise DataError(f"{stats.root}: no offsets were estimated; raise --sample")
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.3))
    parts = {"weakly aligned": "#d55e00", "aligned": "#0072b2", "unknown": "#bbbbbb"}
    counts = [found[name.replace(" ", "_")] for name in parts]
    kept = [(name, count) for name, count in zip(parts, counts, strict=True) if count]
    labels = [f"{name}\n{count} ({100 * count / found['pairs']:.0f}%)" for name, count in kept]
    left.pie([count for _, count in kept], labels=labels, colors=[parts[name] for name, _ in kept], startangle=90)
    left.set_title(
        f"(a) {pluralize(found['pairs'], 'pair')}, {'true' if stats.truth else 'estimated'} offsets", fontsize=10
    )
    for kind, color in (("dynamic", "#d55e00"), ("static", "#0072b2")):
        if found[kind]:
            x, y = np.transpose(found[kind])
            right.scatter(x, y, s=14, alpha=0.6, color=color, label=f"{kind} ({len(x)})", linewidths=0)
    right.axhline(0, color="0.8", zorder=0)
    right.axvline(0, color="0.8", zorder=0)
    right.set_aspect("equal", "datalim")
    right.set_xlabel("offset along x, px")
    right.set_ylabel("offset along y, px")
    right.set_title("(b) thermal position minus RGB position", fontsize=10)
    if found["dynamic"] or found["static"]:
        right.legend(frameon=False)
    right.spines[["top", "right"]].set_visible(False)
    return figure


def write_lists(stats: Stats, folder: Path, overwrite: bool = False) -> list[Path]:
    """day.txt, night.txt and dark_night.txt by brightness and, if the offsets of all pairs were estimated,
    weakly_aligned.txt: lists that `open_dataset` reads. Scenes that a list or name gives already are only refined.

    Raises:
        DataError: a list is there already, and not `overwrite`.
    """
    pairs = stats.pairs()
    names: dict[str, list[str]] = {light: [pair.id for pair in pairs if pair.light == light] for light in LIGHT}
    if all(pair.asked for pair in pairs):
        names[FLAG_LISTS["weakly_aligned"]] = [pair.id for pair in pairs if pair.weak]
    if not overwrite:
        refuse_lists(folder)
    texts = {
        # none: one of an earlier time would say more than is so
        folder / f"{name}.txt": list_text(sorted(set(ids))) if ids else None
        for name, ids in names.items()
    }
    write_together(texts)
    return [path for path, text in texts.items() if text is not None]


def refuse_lists(folder: Path) -> None:
    """Refuse a folder that has one of these lists already.

    Raises:
        DataError: naming it.
    """
    there = [path for name in (*LIGHT, FLAG_LISTS["weakly_aligned"]) if (path := folder / f"{name}.txt").exists()]
    if there:
        raise DataError(f"{there[0]}: exists; --overwrite replaces it")
