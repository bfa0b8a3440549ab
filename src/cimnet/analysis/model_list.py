"""The list of models: paper, cost, published scores, licence and where to find the official weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from cimnet.analysis.paper_values import TABLE2, TABLE6
from cimnet.models import list_models
from cimnet.models.zoo import PUBLICATIONS
from cimnet.models.zoo.publication import Publication, Score
from cimnet.utils.tables import markdown_table

COSTS = Path(__file__).with_name("model_costs.json")
"""Parameters and MACs at 480×640 for 9 classes by name; ``python benchmarks/model_table.py`` writes it."""
DATA_SETS = {"mfnet": "MFNet", "pst900": "PST900", "kust4k": "Kust4K"}
_CIMNET = {
    name: Publication(
        network=network,
        paper="CIMNet, IEEE TGRS",
        year=2026,
        link="https://doi.org/10.1109/TGRS.2026.3654044",
        code="not published; this package",
        licence="Apache-2.0",
        checkpoint="none offered",
    )
    for name, network in (("cimnet_resnet101", "CIMNet-R101"), ("cimnet_mit_b4", "CIMNet-MiT-B4"))
}
_PRINTED = {
    (data_set, row.model): Score(row.miou, f"Table {number} of the CIMNet paper")
    for data_set, number, table in (("kust4k", "II", TABLE2), ("mfnet", "VI", TABLE6))
    for row in table
}


@dataclass(frozen=True)
class Entry:
    """A model.

    Attributes:
        name: for :func:`cimnet.create_model`.
        publication: facts about a published network. None: a model of this package's families.
        scores: published mIoU by data set.
        parameters, macs: of 9 classes, MACs of a pair of 480×640. None: not stored, see ``cimnet info``.
    """

    name: str
    publication: Publication | None
    scores: dict[str, Score]
    parameters: int | None
    macs: int | None


def published_names() -> list[str]:
    """Names of the networks in the paper's tables, and of their variants: this paper's first."""
    return [*_CIMNET, *PUBLICATIONS]


def entries(pattern: str | None = None) -> list[Entry]:
    """Models whose names fit a shell pattern. None: the published networks."""
    published = published_names()
    if pattern is None:
        return [_entry(name) for name in published]
    found = set(list_models(pattern))
    return [_entry(name) for name in [n for n in published if n in found] + sorted(found - set(published))]


def costs_and_scores(found: Sequence[Entry]) -> str:
    """A table in Markdown, and where the scores are printed."""
    notes: dict[str, str] = {}
    rows = [
        (
            entry.name,
            str(entry.publication.year) if entry.publication else "",
            "" if entry.parameters is None else f"{entry.parameters / 1e6:.2f}",
            "" if entry.macs is None else f"{entry.macs / 1e9:.1f}",
            *(_cell(entry.scores.get(key), notes) for key in DATA_SETS),
        )
        for entry in found
    ]
    head = ["name", "year", "M par.", "GMACs", *DATA_SETS.values()]
    sources = "".join(f"- {mark}: {source}\n" for source, mark in notes.items())
    return markdown_table(head, rows) + (f"\n{sources}" if sources else "")


def origins(found: Sequence[Entry]) -> list[tuple[str, str, str, str, str]]:
    """List name, paper, licence, channel order and weights of the published networks."""
    return [
        (e.name, f"{p.paper} {p.year}, {p.link}", p.licence, p.channel_order, p.checkpoint or "none offered")
        for e in found
        if (p := e.publication) is not None
    ]


def to_markdown(found: Sequence[Entry]) -> str:
    """The tables of the docs."""
    head = ["name", "paper", "licence of the code", "colours", "official weights"]
    return f"{costs_and_scores(found)}\n{markdown_table(head, origins(found), 'l')}"


def to_json(found: Sequence[Entry]) -> str:
    """Everything, as a list of objects."""
    return json.dumps([asdict(entry) for entry in found], indent=2)


def _entry(name: str) -> Entry:
    publication = _CIMNET.get(name) or PUBLICATIONS.get(name)
    scores = dict(publication.scores) if publication else {}
    for data_set in DATA_SETS:
        if data_set not in scores and (data_set, name) in _PRINTED:
            scores[data_set] = _PRINTED[data_set, name]
    cost = _costs().get(name, {})
    return Entry(name, publication, scores, cost.get("parameters"), cost.get("macs"))


@lru_cache(1)
def _costs() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(COSTS.read_text(encoding="utf-8"))
    return content


def _cell(score: Score | None, notes: dict[str, str]) -> str:
    """A score with a letter for its source, which ``notes`` (letters by source) gains."""
    if score is None:
        return ""
    chosen = {True: ", epoch chosen on the test set", False: ", epoch not chosen on the test set", None: ""}
    source = score.source + chosen[score.chosen_on_test]
    return f"{score.miou:.1f} {notes.setdefault(source, chr(ord('a') + len(notes)))}"
