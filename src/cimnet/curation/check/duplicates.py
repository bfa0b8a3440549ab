"""Pairs that are in the data set twice: the same pixels, or nearly the same picture.

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

from cimnet.curation.check.findings import Finding, Item, number
from cimnet.curation.check.looks import Look
from cimnet.curation.check.measures import THUMBNAIL_STEPS

_NEAR = 0.8  # standard deviations; copies after JPEG, noise, resizing: up to 0.4; different frames: from 1.2
_NEAR_ALONE = 0.15  # with one sensor only: frames of a fixed camera differ by 0.3 in thermal alone
_ALIKE = 0.97  # correlation of thumbnails below which no closer look is taken
_BLOCK = 512
_CLOSER = 1 << 16


def check_duplicates(looks: Sequence[Look], split_of: Mapping[str, str]) -> list[Finding]:
    """Equal and nearly equal pairs, within and between splits."""
    whole = [look for look in looks if look.rgb is not None and look.thermal is not None]
    return [*_equal(whole, split_of), *_near(whole, split_of)]


def _equal(looks: Sequence[Look], split_of: Mapping[str, str]) -> list[Finding]:
    groups: dict[bytes, list[Look]] = {}
    for look in looks:
        if not (_shows_rgb(look) or _shows_thermal(look)):
            continue
        groups.setdefault(_rgb(look) + _thermal(look), []).append(look)
    across: list[Item] = []
    within: list[Item] = []
    for group in groups.values():
        splits = {split_of.get(look.name, "") for look in group}
        if len(group) > 1:
            (across if len(splits) > 1 else within).append(_described(group, split_of))
    findings = []
    if across:
        message = f"{number(len(across), 'pair')} with equal copies in another split: the test has been trained on"
        findings.append(Finding("error", "duplicate-across-splits", message, "keep each in one split", tuple(across)))
    if within:
        message = f"{number(len(within), 'pair')} with equal copies in the same split"
        findings.append(Finding("warning", "duplicate", message, "remove the copies", tuple(within)))
    first = [group[0] for group in groups.values()]
    findings += _repeated(first, "rgb", _rgb, _shows_rgb, split_of)
    return findings + _repeated(first, "thermal", _thermal, _shows_thermal, split_of)


def _repeated(
    looks: Sequence[Look],
    sensor: str,
    digest: Callable[[Look], bytes],
    shows: Callable[[Look], bool],
    split_of: Mapping[str, str],
) -> list[Finding]:
    """Images of one sensor used in several pairs, with different images of the other."""
    groups: dict[bytes, list[Look]] = {}
    for look in looks:
        if shows(look):
            groups.setdefault(digest(look), []).append(look)
    items = tuple(_described(group, split_of) for group in groups.values() if len(group) > 1)
    if not items:
        return []
    name, other = ("RGB", "thermal") if sensor == "rgb" else ("thermal", "RGB")
    message = f"{number(len(items), f'{name} image')} in several pairs, with different {other} images"
    return [Finding("warning", f"repeated-{sensor}", message, "check how the pairs were made", items)]


def _near(looks: Sequence[Look], split_of: Mapping[str, str]) -> list[Finding]:
    order = {split: place for place, split in enumerate(dict.fromkeys(split_of.values()))}
    place = np.array([order.get(split_of.get(look.name, ""), len(order)) for look in looks])
    first, second, difference = near_pairs(looks)
    reported = _same(looks, _rgb, _shows_rgb, first, second) | _same(looks, _thermal, _shows_thermal, first, second)
    findings = []
    for across in (True, False):
        chosen = ((place[first] != place[second]) == across) & ~reported
        items = _nearest(looks, first[chosen], second[chosen], difference[chosen], place, split_of)
        if items and across:
            message = f"{number(len(items), 'pair')} nearly equal to one of another split"
            remedy = "split by place or sequence, not by frame (`cimnet data split`)"
            findings.append(Finding("warning", "near-duplicate-across-splits", message, remedy, items))
        elif items:
            message = f"{number(len(items), 'pair')} nearly equal to an earlier one of the same split"
            findings.append(Finding("note", "near-duplicate", message, "nothing; they add little", items))
    return findings


def _same(
    looks: Sequence[Look],
    digest: Callable[[Look], bytes],
    shows: Callable[[Look], bool],
    first: npt.NDArray[np.int64],
    second: npt.NDArray[np.int64],
) -> npt.NDArray[np.bool_]:
    """Which pairs of looks have the very same image of a sensor: as such they are reported."""
    numbers: dict[bytes, int] = {}
    pixels = np.array([numbers.setdefault(digest(look), len(numbers)) for look in looks], dtype=int)
    shown = np.array([shows(look) for look in looks], dtype=bool)
    return shown[first] & (pixels[first] == pixels[second])


def _nearest(
    looks: Sequence[Look],
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
        a, b = looks[later[position]], looks[partner[position]]
        detail = f"{_in(a, split_of)}like {_shown(b, split_of)}, by {difference[position]:.2f}"
        items.append(Item(a.name, detail, (b.name,)))
    return tuple(items)


@dataclass(frozen=True)
class _Thumbnails:
    """Those of one sensor: values (N, 576) in steps, unit vectors of the same, and which show anything."""

    values: npt.NDArray[np.int16]
    unit: npt.NDArray[np.float32]
    shows: npt.NDArray[np.bool_]


def near_pairs(looks: Sequence[Look]) -> tuple[Any, Any, Any]:
    """All pairs of looks that are nearly equal: positions i < j, both (P,), and how much they differ, (P,)."""
    rgb = _thumbnails([look.rgb.thumbnail for look in looks if look.rgb], [_shows_rgb(look) for look in looks])
    thermal = _thumbnails(
        [look.thermal.thumbnail for look in looks if look.thermal], [_shows_thermal(look) for look in looks]
    )
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))]
    for start in range(0, len(looks), _BLOCK):
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


def _described(group: Sequence[Look], split_of: Mapping[str, str]) -> Item:
    first, *rest = group
    detail = f"{_in(first, split_of)}equal to {', '.join(_shown(look, split_of) for look in rest)}"
    return Item(first.name, detail, tuple(look.name for look in rest))


def _shown(look: Look, split_of: Mapping[str, str]) -> str:
    split = split_of.get(look.name, "")
    return f"{look.name} ({split})" if split else look.name


def _in(look: Look, split_of: Mapping[str, str]) -> str:
    split = split_of.get(look.name, "")
    return f"in {split}, " if split else ""


def _rgb(look: Look) -> bytes:
    return look.rgb.digest if look.rgb else b""


def _thermal(look: Look) -> bytes:
    return look.thermal.digest if look.thermal else b""


def _shows_rgb(look: Look) -> bool:
    return look.rgb is not None and not look.rgb.plain


def _shows_thermal(look: Look) -> bool:
    return look.thermal is not None and not look.thermal.constant
