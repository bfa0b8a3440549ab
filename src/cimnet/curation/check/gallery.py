"""Choose the pairs for the contact sheet: typical ones of each split, and examples of the findings."""

from __future__ import annotations

from collections.abc import Sequence

from cimnet.curation.check.examine import Examined
from cimnet.curation.check.findings import Finding, Item
from cimnet.curation.check.sensors import FAULT_CODES
from cimnet.curation.check.sheet import Group, Sheet
from cimnet.utils.numbers import pluralize, spread_evenly

_TYPICAL, _EXAMPLES = 4, 2  # pairs a split, and a kind of finding
_EXPLAINED = {
    *FAULT_CODES,
    "rgb-flagged-sound",
    "thermal-flagged-sound",
    "flagged-broken",
    "thermal-is-rgb",
    "rgb-grey",
    "swapped-colours",
    "size",
    "label-size",
    "id-outside-classes",
    "label-empty",
    "misaligned",
    "duplicate-across-splits",
    "near-duplicate-across-splits",
}
"""Codes of findings that a picture explains; their items are pairs."""


def make_sheet(examined: Examined, findings: Sequence[Finding]) -> Sheet:
    """The sheet of a data set; nothing is decoded yet."""
    explained = [finding for finding in findings if finding.code in _EXPLAINED]
    odd = {item.name for finding in explained for item in finding.items}
    odd |= {stats.name for stats in examined.measured if stats.problems or stats.rgb is None or stats.thermal is None}
    groups = []
    for split, names in examined.splits.names.items():
        usual = [Item(name) for name in names if name not in odd] or [Item(name) for name in names]
        groups.append(_group(examined, f"{split}: {pluralize(len(names), 'pair')}", usual, _TYPICAL))
    for finding in explained:
        groups.append(_group(examined, f"{finding.code}: {finding.message}", finding.items, _EXAMPLES))
    return Sheet(
        title=f"{examined.root.name}: RGB, thermal (1st to 99th percentile) and label",
        groups=tuple(group for group in groups if group.pairs),
        settings=examined.settings,
        names=examined.rules.classes.names,
        colors=examined.rules.classes.colors,
        lookup=examined.rules.lookup,
    )


def _group(examined: Examined, title: str, items: Sequence[Item], count: int) -> Group:
    """Up to `count` of the items, each followed by the first pair that it is like."""
    jobs = {job.name: job for job in examined.jobs}
    pairs = []
    there = [item for item in items if item.name in jobs]
    for item in (there[position] for position in spread_evenly(len(there), count)):
        for name, detail in ((item.name, item.detail), *((other, "") for other in item.others[:1])):
            caption = "  ".join(filter(None, (name, examined.splits.scenes.get(name, ""), detail)))
            pairs.append((jobs[name], caption))
    return Group(title, tuple(pairs))
