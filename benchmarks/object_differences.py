"""Differences between models by the objects that they find on the same images, for objects.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from cimnet.errors import ConfigError
from cimnet.evaluation import BoxEvaluation
from cimnet.evaluation.box_scores import ImageBootstrap
from cimnet.evaluation.evaluate_boxes import Group
from cimnet.utils.numbers import format_number
from cimnet.utils.tables import markdown_table

COMPARED = (
    ("people seen by one camera alone, 10%", Group("person", "all", "one"), 0.1),
    ("30%", Group("person", "all", "one"), 0.3),
    ("50%", Group("person", "all", "one"), 0.5),
    ("people seen by both, 10%", Group("person", "all", "both"), 0.1),
    ("cars seen by both, 10%", Group("car", "all", "both"), 0.1),
)
"""Columns of the table of differences: title, objects, and the share of a box that must be predicted."""
Scores = dict[str, Any]
Runs = dict[str, dict[str, dict[str, Any]]]
"""Anything by labels, model and seed."""
Found = dict[str, dict[str, dict[str, Scores]]]
Column = dict[str, Any]
"""A column's images, their objects, and how many of them each run finds."""


def evaluations(seeds: dict[str, Scores]) -> dict[str, BoxEvaluation]:
    """By seed, the scores that hold the images, in one order."""
    found = {seed: BoxEvaluation.from_dict(scores) for seed, scores in seeds.items() if "by_image" in scores}
    for evaluation in found.values():
        evaluation.images.sort(key=lambda image: image.id)
    return found


def by_image(found: Found) -> list[Column]:
    """What the differences are made of: for each column, the objects of each image and how many each run finds."""
    read = {labels: {model: evaluations(seeds) for model, seeds in models.items()} for labels, models in found.items()}
    runs = [run for models in read.values() for seeds in models.values() for run in seeds.values()]
    if not runs:
        return []
    return [
        {
            "column": title,
            "images": [image.id for image in runs[0].images],
            "objects": runs[0].hits(group, share)[1].tolist(),
            "found": {
                labels: {
                    model: {seed: run.hits(group, share)[0].tolist() for seed, run in seeds.items()}
                    for model, seeds in models.items()
                }
                for labels, models in read.items()
            },
        }
        for title, group, share in COMPARED
    ]


def join(known: Sequence[Column], new: Sequence[Column], labels: Sequence[str], models: Sequence[str]) -> list[Column]:
    """Add runs to those that were counted before, labels and models in the given order.

    Raises:
        ConfigError: the images or their objects differ.
    """
    if not known or not new:
        return [*known, *new]
    joined = []
    for before, now in zip(known, new, strict=True):
        if any(before[key] != now[key] for key in ("column", "images", "objects")):
            raise ConfigError(f"{now['column']}: the file holds counts of other images or boxes; choose another --json")
        joined.append({**now, "found": join_runs(before["found"], now["found"], labels, models)})
    return joined


def join_runs(known: Runs, new: Runs, labels: Sequence[str], models: Sequence[str]) -> Runs:
    """What is known by labels, model and seed; where both have a run, that of ``new``."""
    return {
        kind: {
            model: known.get(kind, {}).get(model, {}) | new.get(kind, {}).get(model, {})
            for model in models
            if model in known.get(kind, {}) or model in new.get(kind, {})
        }
        for kind in labels
        if kind in known or kind in new
    }


def compare(columns: Sequence[Column]) -> Iterator[dict[str, Any]]:
    """For each two models trained on the same labels, and each model trained on two kinds of labels: how many more of
    the objects the first finds, over the seeds that both have."""
    for column, (title, group, share) in zip(columns, COMPARED, strict=bool(columns)):
        total = np.asarray(column["objects"])
        found = {
            (labels, model): seeds for labels, models in column["found"].items() for model, seeds in models.items()
        }
        for one, other in combinations(found, 2):
            seeds = sorted(found[one].keys() & found[other].keys())
            if not seeds or (one[0] != other[0] and one[1] != other[1]):
                continue
            same = one[0] == other[0]
            first, second = (one, other) if same else (other, one)  # the kind that was added to the first kind
            hits, others = (np.mean([found[run][seed] for seed in seeds], axis=0) for run in (first, second))
            yield {
                "labels": one[0] if same else "both",
                "first": first[1] if same else f"{first[1]} {first[0]}",
                "second": second[1] if same else f"{second[1]} {second[0]}",
                "column": title,
                **group._asdict(),
                "share": share,
                "seeds": seeds,
                "difference": float((hits - others).sum() / total.sum()) if total.any() else None,
                "interval": ImageBootstrap(len(total)).difference(others, hits, total),
            }


def difference_table(differences: Sequence[dict[str, Any]]) -> str:
    """Markdown: a row for each two models."""
    rows: dict[tuple[str, ...], list[object]] = {}
    for entry in differences:
        names = (entry["labels"], f"{entry['first']} − {entry['second']}", str(len(entry["seeds"])))
        rows.setdefault(names, list(names)).append(difference_cell(entry))
    head = ["labels", "difference", "seeds", *(title for title, *_ in COMPARED)]
    note = (
        "Two models, or one model trained on two kinds of labels, on the same images, in points: the difference of the "
        "means over the seeds, and its 95% interval by a bootstrap over images, drawn for both at once. Where the "
        "interval holds 0, these images do not tell "
        "the models apart. It does not hold what other seeds would do.\n"
    )
    return f"{note}\n{markdown_table(head, list(rows.values()), 'llr')}"


def difference_cell(entry: dict[str, Any]) -> str:
    """Difference and interval in points."""
    if entry["difference"] is None:
        return "–"
    text = format_number(100 * entry["difference"], "+.1f")
    if entry["interval"] is None:
        return text
    return f"{text} [{', '.join(format_number(100 * end, '+.1f') for end in entry['interval'])}]"
