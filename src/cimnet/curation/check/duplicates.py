"""Duplicate pairs: the same pixels, or nearly the same picture.

Nearly the same is judged by thumbnails (24 by 24 means in units of their standard deviation), by the cell that differs
most: a fixed camera sees the same background in every frame, and only what moves tells the frames apart. Whatever shows
nothing (a black RGB image, a constant thermal one) says nothing: then the other sensor must agree far better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cimnet.curation.check.findings import Finding, Item
from cimnet.curation.check.image_stats import THUMBNAIL_STEPS
from cimnet.curation.check.pair_stats import PairStats
from cimnet.utils.numbers import pluralize

_NEAR = 0.8  # standard deviations; copies after JPEG, noise, resizing: up to 0.4; different frames: from 1.2
_NEAR_ALONE = 0.15  # with one sensor only: frames of a fixed camera differ by 0.3 in thermal alone
_ALIKE = 0.97  # correlation of thumbnails below which no closer stats is taken
_BLOCK = 512
_CLOSER = 1 << 16


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
    first, second, difference = near_pairs(measured)
    reported = _same(measured, _rgb, _shows_rgb, first, second) | _same(
        measured, _thermal, _shows_thermal, first, second
    )
    findings = []
    for across in (True, False):
        chosen = ((place[first] != place[second]) == across) & ~reported
        items = _nearest(measured, first[chosen], second[chosen], difference[chosen], place, split_of)
        if items and across:
            message = f"{pluralize(len(items), 'pair')} nearly equal to one of another split"
            remedy = "split by place or sequence, not by frame (`cimnet data split`)"
            findings.append(Finding("warning", "near-duplicate-across-splits", message, remedy, items))
        elif items:
            message = f"{pluralize(len(items), 'pair')} nearly equal to an earlier one of the same split"
            findings.append(Finding("note", "near-duplicate", message, "nothing to do; they add little", items))
    return findings


def _same(
    measured: Sequence[PairStats],
    digest: Callable[[PairStats], bytes],
    shows: Callable[[PairStats], bool],
    first: npt.NDArray[np.int64],
    second: npt.NDArray[np.int64],
) -> npt.NDArray[np.bool_]:
    """Which pairs of measured have the very same image of a sensor: as such they are reported."""
    numbers: dict[bytes, int] = {}
    pixels = np.array([numbers.setdefault(digest(stats), len(numbers)) for stats in measured], dtype=int)
    shown = np.array([shows(stats) for stats in measured], dtype=bool)
    return shown[first] & (pixels[first] == pixels[second])


def _nearest(
    measured: Sequence[PairStats],
    first: npt.NDArray[np.int64],
    second: npt.NDArray[np.int64],
    difference: npt.NDArray[np.float32],
    place: npt.NDArray[np.int64],
    split_of: Mapping[str, str],
) -> tuple[Item, ...]:
    """One item for each pair that has a near one, with the nearest: the one of the later split, or else the later."""
    swap = place[first] > place[second]
    partner, later = np.where(swap, second, first), np.where(swap, first, second)
    rank = np.argsort(difference, kind="stable")
    _, positions = np.unique(later[rank], return_index=True)
    items = []
    for position in rank[positions]:
        a, b = measured[later[position]], measured[partner[position]]
        detail = f"{_in(a, split_of)}like {_shown(b, split_of)}, by {difference[position]:.2f}"
        items.append(Item(a.name, detail, (b.name,)))
    return tuple(items)


@dataclass(frozen=True)
class _Thumbnails:
    """Those of one sensor: values (N, 576) in steps, unit vectors of the same, and which show anything."""

    values: npt.NDArray[np.int16]
    unit: npt.NDArray[np.float32]
    shows: npt.NDArray[np.bool_]


def near_pairs(measured: Sequence[PairStats]) -> tuple[Any, Any, Any]:
    """All pairs of measured that are nearly equal: positions i < j, both (P,), and how much they differ, (P,)."""
    rgb = _thumbnails(
        [stats.rgb.thumbnail for stats in measured if stats.rgb], [_shows_rgb(stats) for stats in measured]
    )
    thermal = _thumbnails(
        [stats.thermal.thumbnail for stats in measured if stats.thermal], [_shows_thermal(stats) for stats in measured]
    )
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))]
    for start in range(0, len(measured), _BLOCK):
        first, second = _candidates(rgb, thermal, start)
        for begin in range(0, len(first), _CLOSER):
            i, j = first[begin : begin + _CLOSER], second[begin : begin + _CLOSER]
            parts = [_differences(sensor, i, j) for sensor in (rgb, thermal)]
            both = (rgb.shows[i] & rgb.shows[j]) & (thermal.shows[i] & thermal.shows[j])
            difference = np.maximum(*parts)
            near = difference <= np.where(both, _NEAR, _NEAR_ALONE)
            found.append((i[near], j[near], difference[near]))
    first, second, difference = (np.concatenate(part) for part in zip(*found, strict=True))
    return first, second, difference


def _candidates(rgb: _Thumbnails, thermal: _Thumbnails, start: int) -> tuple[Any, Any]:
    """Pairs from a block of rows whose thumbnails correlate in every sensor that shows something in both."""
    rows = slice(start, start + _BLOCK)
    alike, compared = None, None
    for sensor in (rgb, thermal):
        shown = sensor.shows[rows, None] & sensor.shows[None, start:]
        agrees = (sensor.unit[rows] @ sensor.unit[start:].T >= _ALIKE) | ~shown
        alike = agrees if alike is None else alike & agrees
        compared = shown if compared is None else compared | shown
    assert alike is not None
    assert compared is not None
    i, j = np.nonzero(np.triu(alike & compared, 1))
    return i + start, j + start


def _differences(sensor: _Thumbnails, i: Any, j: Any) -> npt.NDArray[np.float32]:
    """The largest difference of a cell, in standard deviations; 0 where one of the two shows nothing."""
    largest = np.abs(sensor.values[i] - sensor.values[j]).max(axis=1) / np.float32(THUMBNAIL_STEPS)
    return np.where(sensor.shows[i] & sensor.shows[j], largest, np.float32(0))


def _thumbnails(values: Sequence[npt.NDArray[np.int8]], shows: Sequence[bool]) -> _Thumbnails:
    stacked = np.stack(values).astype(np.int16) if values else np.zeros((0, 1), np.int16)
    unit = stacked.astype(np.float32)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-6)
    return _Thumbnails(stacked, unit, np.array(shows, dtype=bool))


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
