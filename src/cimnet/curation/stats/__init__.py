"""Statistics of a data set as the paper reports them for Kust4K (section IV): splits, light, classes, misalignment."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cimnet.curation.stats.measure_pairs import DYNAMIC, STATIC, Job, PairStats, has_truth, measure_pairs
from cimnet.data import LAYOUTS, RGBTDataset, find_layout, open_dataset
from cimnet.data.io.split_lists import SPLIT_FOLDERS, find_list, list_names, read_names
from cimnet.data.layouts.kust4k import Kust4K
from cimnet.utils.numbers import describe, pluralize, spread_evenly
from cimnet.utils.pool import Progress
from cimnet.utils.tables import markdown_table

__all__ = ["LIGHT", "PairStats", "Stats", "dataset_stats"]

LIGHT = ("day", "night", "dark_night")


@dataclass(frozen=True)
class Stats:
    """Statistics of a data set, pair by pair.

    Attributes:
        root, layout: the folder and the name of its layout.
        classes: class names, in the order of the ids.
        colors: (red, green, blue) of each class, 0..255.
        splits: measurements of the pairs, by split.
        truth: whether offsets are true ones, which synthetic data carry, and not estimates.
        left_out: number of pairs of the folder that are in none of the splits.
    """

    root: Path
    layout: str
    classes: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    splits: dict[str, list[PairStats]] = field(default_factory=dict)
    truth: bool = False
    left_out: int = 0

    def shares(self, split: str | None = None) -> list[float]:
        """Share of each class in the labelled pixels, 0..1, of a split or (None) of all: the paper's Fig. 9."""
        counts = np.sum([pair.pixels for pair in self.pairs(split)] or [(0,) * len(self.classes)], axis=0)
        return [float(v) for v in counts / max(counts.sum(), 1)]

    def pairs(self, split: str | None = None) -> list[PairStats]:
        """Pairs of a split, or of all."""
        return [pair for name, pairs in self.splits.items() if split in (None, name) for pair in pairs]

    def offsets(self) -> dict[str, Any]:
        """Count the weakly aligned pairs and list their offsets in pixels (the paper's Fig. 11 a and b)."""
        asked = [pair for pair in self.pairs() if pair.asked]
        weak = Counter(pair.weak for pair in asked)
        return {
            "pairs": len(asked),
            "weakly_aligned": weak[True],
            "aligned": weak[False],
            "unknown": weak[None],
            "static": [pair.static for pair in asked if pair.static is not None],
            "dynamic": [moved for pair in asked for moved in pair.dynamic],
        }

    def to_json(self) -> str:
        """Everything, by split and in sum."""
        content = {
            "root": str(self.root),
            "layout": self.layout,
            "classes": list(self.classes),
            "shares": {name: self.shares(name) for name in self.splits} | {"all": self.shares()},
            "offsets": {**self.offsets(), "truth": self.truth},
            "left_out": self.left_out,
            "pairs": {name: [asdict(pair) for pair in pairs] for name, pairs in self.splits.items()},
        }
        return json.dumps(content, indent=1) + "\n"

    def to_markdown(self) -> str:
        """Tables for people."""
        names = list(self.splits)
        shares = [*map(self.shares, names), self.shares()]
        classes = [
            (name, *(f"{100 * column[class_id]:.2f}%" for column in shares))
            for class_id, name in enumerate(self.classes)
        ]
        parts = [
            f"**{self.root}**, layout {self.layout}\n",
            markdown_table(["", *names], self._sizes()),
            *([f"In none of these splits: {pluralize(self.left_out, 'pair')}.\n"] if self.left_out else []),
            markdown_table(["share of labelled pixels", *names, "all"], classes),
            *self._offsets_as_text(),
        ]
        return "\n".join(parts)

    def _sizes(self) -> list[list[object]]:
        """Count the pairs of each split: in all, published, by scene, brightness and flag."""
        splits, published = self.splits.values(), LAYOUTS[self.layout].info.sizes
        scenes = dict.fromkeys([*LIGHT, *sorted({pair.scene for pair in self.pairs()})])
        flags = sorted({flag for pair in self.pairs() for flag in pair.flags})
        rows: list[list[object]] = [["pairs", *map(len, splits)]]
        for scene in scenes:
            numbers = (sum(pair.scene == scene for pair in split) for split in splits)
            rows.append([describe(scene) or "scene not known", *numbers])
        for light in LIGHT:
            numbers = (sum(pair.light == light for pair in split) for split in splits)
            rows.append([f"{describe(light)} by brightness", *numbers])
        for flag in flags:
            rows.append([describe(flag), *(sum(flag in pair.flags for pair in split) for split in splits)])
        rows = [row for row in rows if any(row[1:])]
        if published and set(published) & set(self.splits):
            rows.insert(1, ["published", *(published.get(name, "") for name in self.splits)])
        return rows

    def _offsets_as_text(self) -> list[str]:
        found = self.offsets()
        if not found["pairs"]:
            return []
        known = found["weakly_aligned"] + found["aligned"]
        share = f"{100 * found['weakly_aligned'] / known:.0f}%" if known else "?"
        source = "true offsets" if self.truth else "estimated offsets"
        note = (
            f"Weakly aligned: {share} of {pluralize(known, 'pair')} ({source}: static above {STATIC:g} px or dynamic "
            f"above {DYNAMIC:g} px); {found['unknown']} of {found['pairs']} could not be told.\n"
        )
        rows = []
        for kind in ("static", "dynamic"):
            lengths = [float(np.hypot(*moved)) for moved in found[kind]]
            if lengths:
                median, high = np.percentile(lengths, (50, 90))
                rows.append((kind, len(lengths), f"{median:.1f}", f"{high:.1f}", f"{max(lengths):.1f}"))
        return [note, markdown_table(["offset, px", "n", "median", "90th percentile", "most"], rows)]


def dataset_stats(
    root: str | Path,
    *,
    layout: str = "auto",
    classes: str | Sequence[str] | None = None,
    splits: Sequence[str] = (),
    sample: int = 60,
    workers: int = 1,
    progress: Progress | None = None,
) -> Stats:
    """Read every pair of a data set once and count.

    Args:
        root, layout, classes: as in :func:`cimnet.open_dataset`.
        splits: names of splits. Empty: those of train, val, validation and test that exist, otherwise all pairs.
        sample: number of evenly spread pairs of each split whose offset is estimated; 0 for none. If the set carries
            true offsets, those of every pair are taken. Of a second image of several channels the first one is compared
            with RGB.
        workers: processes.
        progress: called with the number of finished pairs and the total.

    Raises:
        DataError: the data cannot be used.
        CimnetError: a worker process was killed.
    """
    root = Path(root)
    kind = find_layout(root, layout)
    index = kind.index(root)
    there = {*list_names(root), *index.folders}
    whole = [name for name in SPLIT_FOLDERS if name in there and not _empty(root, name)]
    chosen = list(splits) or whole or ["all"]
    options: dict[str, Any] = {"layout": kind.name, "classes": classes, "require_labels": False}
    sets = {name: open_dataset(root, name, **options) for name in chosen}
    first = sets[chosen[0]]
    truth = all(isinstance(data, Kust4K) and has_truth(data) for data in sets.values())
    paired = index.rgb.files.keys() & (index.thermal or index.rgb).files.keys()
    left_out = len(paired.difference(*(data.ids for data in sets.values())))
    result = Stats(root, kind.name, first.classes, first.colors, {name: [] for name in sets}, truth, left_out)
    jobs = _jobs(sets, sample, truth)
    for job, pair in zip(jobs, measure_pairs(sets, jobs, workers, progress), strict=True):
        result.splits[job.split].append(pair)
    return result


def _empty(root: Path, split: str) -> bool:
    path = find_list(root, split)
    return path is not None and not read_names(path)


def _jobs(sets: dict[str, RGBTDataset], sample: int, truth: bool) -> list[Job]:
    jobs = []
    for name, data in sets.items():
        asked = set(spread_evenly(len(data), sample))
        jobs += [Job(name, index, truth or index in asked) for index in range(len(data))]
    return jobs
