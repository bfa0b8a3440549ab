"""What the registry adds to the hand-written pages of ``docs/models``: a schematic, cost, scores, origin, names."""

from __future__ import annotations

import fnmatch
import re

from diagram import to_svg
from families import FAMILIES, Family

from cimnet.analysis.model_list import DATA_SETS, Entry, costs_and_scores, entries, published_names
from cimnet.models import list_models
from cimnet.utils.tables import markdown_table

DIAGRAM, NETWORKS = "<!-- made: diagram -->\n", "<!-- made: networks -->\n"
"""Marks in the pages, in whose place this is written."""


def with_made_parts(name: str, text: str) -> str:
    """A page's Markdown with what the registry knows.

    Args:
        name: of the page, without folder and extension. One that is no family's is left as it is.
    """
    family = FAMILIES.get(name)
    if family is None:
        return text
    picture = to_svg(family.diagram, "Streams, exchange and decoder") if family.diagram else ""
    return text.replace(DIAGRAM, f"{picture}\n").replace(NETWORKS, networks(family))


def belongs(family: Family, name: str) -> bool:
    """Whether a network's name is one of the family's."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in family.patterns)


def networks(family: Family) -> str:
    """Cost, scores and origin of the family's published networks, and how to make one."""
    published = [entry for entry in entries() if belongs(family, entry.name)]
    parts = [_table(published), _origin(published)] if published else []
    return "\n".join([*parts, _use(family, published)])


def _table(published: list[Entry]) -> str:
    """Cost and published scores."""
    about = "Parameters and MACs are counted for 9 classes and a pair of 480×640. "
    about += f"Published mIoU ({', '.join(DATA_SETS.values())}) in per cent, as printed; none was measured here.\n"
    return f"## Networks\n\n{about}\n{costs_and_scores(published)}"


def _origin(published: list[Entry]) -> str:
    """Paper, code, licence and weights."""
    known = {entry.name: entry.publication for entry in published if entry.publication}
    first = next(iter(known.values()))
    text = "## Origin\n\n"
    text += f"- Paper: {first.paper} {first.year}, <{first.link}>\n"
    text += f"- Original code: {_linked(first.code)}; licence: {first.licence}\n"
    weights = [(f"`{name}`", _linked(p.checkpoint)) for name, p in known.items() if "http" in p.checkpoint]
    if not weights:
        return f"{text}- Official weights: none offered\n"
    text += "- Official weights, with terms of their own; [`cimnet import`](index.md#official-weights) reads them:\n\n"
    return text + markdown_table(["name", "where"], weights, "l")


def _use(family: Family, published: list[Entry]) -> str:
    """How to make one, and the names that the registry has."""
    names = [name for pattern in family.patterns for name in list_models(pattern)]
    name = published[0].name if published else names[0]
    others = [f"`{other}`" for other in names if other not in published_names()]
    text = f'## Use it\n\n```python\nimport cimnet\n\nmodel = cimnet.create_model("{name}", num_classes=9)\n```\n\n'
    text += (
        f"In a recipe: `model.name: {name}`. The code: [`{family.code}`](../../src/cimnet/models/{family.code}).\n\n"
    )
    text += f"Further names: {', '.join(others)}.\n\n" if others else ""
    return text + "All models, options, and what differs from the originals: [models](index.md).\n"


def _linked(text: str) -> str:
    """Addresses in a text as links."""
    return re.sub(r"https?://[^\s,)]+", r"<\g<0>>", text)
