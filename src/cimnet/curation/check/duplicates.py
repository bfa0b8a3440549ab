"""Duplicate pairs: the same pixels, or nearly the same picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from cimnet.curation.check.findings import Finding, Item
from cimnet.curation.check.near_pairs import Differences, Indices, near_pairs
from cimnet.curation.check.pair_stats import PairStats
from cimnet.utils.numbers import pluralize


def check_duplicates(measured: Sequence[PairStats], split_of: Mapping[str, str]) -> list[Finding]:
    """Equal and nearly equal pairs, within and between splits."""
    whole = [stats for stats in measured if stats.rgb is not None and stats.thermal is not None]
    return [*_equal(whole, split_of), *_near(whole, split_of)]


def _equal(measured: Sequence[PairStats], split_of: Mapping[str, str]) -> list[Finding]:
    groups: dict[bytes, list[PairStats]] = {}
    for stats in measured:
        if not (_shows_rgb(stats) or _shows_thermal(stats)):
            continue
        groups.setdefault(_rgb(stats) + _thermal(stats), []).append(stats)
    across: list[Item] = []
    within: list[Item] = []
    for group in groups.values():
        splits = {split_of.get(stats.name, "") for stats in group}
        if len(group) > 1:
            (across if len(splits) > 1 else within).append(_described(group, split_of))
    findings = []
    if across:
        message = f"{pluralize(len(across), 'pair')} with equal copies in another split: the test has been trained on"
        findings.append(Finding("error", "duplicate-across-splits", message, "keep each in one split", tuple(across)))
    if within:
        message = f"{pluralize(len(within), 'pair')} with equal copies in the same split"
        findings.append(Finding("warning", "duplicate", message, "remove the copies", tuple(within)))
    first = [group[0] for group in groups.values()]
    findings += _repeated(first, "rgb", _rgb, _shows_rgb, split_of)
    return findings + _repeated(first, "thermal", _thermal, _shows_thermal, split_of)


def _repeated(
    measured: Sequence[PairStats],
    sensor: str,
    digest: Callable[[PairStats], bytes],
    shows: Callable[[PairStats], bool],
    split_of: Mapping[str, str],
) -> list[Finding]:
    """Images of one sensor used in several pairs, with different images of the other."""
    groups: dict[bytes, list[PairStats]] = {}
    for stats in measured:
        if shows(stats):
            groups.setdefault(digest(stats), []).append(stats)
    items = tuple(_described(group, split_of) for group in groups.values() if len(group) > 1)
    if not items:
        return []
    name, other = ("RGB", "thermal") if sensor == "rgb" else ("thermal", "RGB")
    message = f"{pluralize(len(items), f'{name} image')} in several pairs, with different {other} images"
    return [Finding("warning", f"repeated-{sensor}", message, "check how the pairs were made", items)]


def _near(measured: Sequence[PairStats], split_of: Mapping[str, str]) -> list[Finding]:
    order = {split: place for place, split in enumerate(dict.fromkeys(split_of.values()))}
    place = np.array([order.get(split_of.get(stats.name, ""), len(order)) for stats in measured])
    rgb, thermal = _images(measured, _rgb, _shows_rgb), _images(measured, _thermal, _shows_thermal)
    across, within = _Nearest(len(measured)), _Nearest(len(measured))
    for first, second, difference in near_pairs(measured):
        new = ~(_same(rgb, first, second) | _same(thermal, first, second))  # as such they are reported
        swap = place[first] > place[second]
        partner, later = np.where(swap, second, first), np.where(swap, first, second)
        for nearest, chosen in ((across, place[first] != place[second]), (within, place[first] == place[second])):
            nearest.add(later[chosen & new], partner[chosen & new], difference[chosen & new])
    findings = []
    if items := across.items(measured, split_of):
        message = f"{pluralize(len(items), 'pair')} nearly equal to one of another split"
        remedy = "split by place or sequence, not by frame (`cimnet data split`)"
        findings.append(Finding("warning", "near-duplicate-across-splits", message, remedy, items))
    if items := within.items(measured, split_of):
        message = f"{pluralize(len(items), 'pair')} nearly equal to an earlier one of the same split"
        findings.append(Finding("note", "near-duplicate", message, "nothing to do; they add little", items))
    return findings


def _images(
    measured: Sequence[PairStats], digest: Callable[[PairStats], bytes], shows: Callable[[PairStats], bool]
) -> Indices:
    """A number for each image of a sensor, (N,): equal for the same pixels, -1 for an image that shows nothing."""
    numbers: dict[bytes, int] = {}
    shown = [numbers.setdefault(digest(stats), len(numbers)) if shows(stats) else -1 for stats in measured]
    return np.array(shown, dtype=np.int64)


def _same(images: Indices, first: Indices, second: Indices) -> npt.NDArray[np.bool_]:
    """Mark the index pairs whose images of one sensor are identical."""
    return (images[first] == images[second]) & (images[first] >= 0)


class _Nearest:
    """The nearest partner so far of each of the measured; of equally near ones the first."""

    def __init__(self, count: int) -> None:
        self.partner = np.full(count, -1, np.int64)
        self.difference = np.full(count, np.inf, np.float32)

    def add(self, later: Indices, partner: Indices, difference: Differences) -> None:
        """Take what is nearer. In a near pair, the one of the later split, or else the later one, gets the other."""
        rank = np.lexsort((partner, difference))
        later, position = np.unique(later[rank], return_index=True)
        partner, difference = partner[rank][position], difference[rank][position]
        known, least = self.partner[later], self.difference[later]
        nearer = (difference < least) | ((difference == least) & (partner < known))
        self.partner[later[nearer]], self.difference[later[nearer]] = partner[nearer], difference[nearer]

    def items(self, measured: Sequence[PairStats], split_of: Mapping[str, str]) -> tuple[Item, ...]:
        """One item for each that has a partner."""
        items = []
        for later in np.flatnonzero(self.partner >= 0).tolist():
            a, b = measured[later], measured[int(self.partner[later])]
            detail = f"{_in(a, split_of)}like {_shown(b, split_of)}, by {self.difference[later]:.2f}"
            items.append(Item(a.name, detail, (b.name,)))
        return tuple(items)


def _described(group: Sequence[PairStats], split_of: Mapping[str, str]) -> Item:
    first, *rest = group
    detail = f"{_in(first, split_of)}equal to {', '.join(_shown(stats, split_of) for stats in rest)}"
    return Item(first.name, detail, tuple(stats.name for stats in rest))


def _shown(stats: PairStats, split_of: Mapping[str, str]) -> str:
    split = split_of.get(stats.name, "")
    return f"{stats.name} ({split})" if split else stats.name


def _in(stats: PairStats, split_of: Mapping[str, str]) -> str:
    split = split_of.get(stats.name, "")
    return f"in {split}, " if split else ""


def _rgb(stats: PairStats) -> bytes:
    return stats.rgb.digest if stats.rgb else b""


def _thermal(stats: PairStats) -> bytes:
    return stats.thermal.digest if stats.thermal else b""


def _shows_rgb(stats: PairStats) -> bool:
    return stats.rgb is not None and not stats.rgb.plain


def _shows_thermal(stats: PairStats) -> bool:
    return stats.thermal is not None and not stats.thermal.constant
