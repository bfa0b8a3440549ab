"""Class ids outside the classes, absent or shifted, and the shares of the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cimnet.curation.check.findings import Finding, Item, Severity
from cimnet.curation.check.pair_stats import LabelStats, PairStats
from cimnet.data.classes import MAX_CLASSES, ClassList
from cimnet.data.dataset_file import DatasetFile
from cimnet.data.labels import binary_mask_fault, binary_mask_remedy, is_binary_mask, label_lookup
from cimnet.data.sample import IGNORE_INDEX
from cimnet.utils.numbers import pluralize

_IGNORED_MUCH, _IGNORED_SOME = 0.5, 0.1
_RARE = 0.0005  # of the pixels of all classes
_SHIFTED = 0.3  # share of 255 that looks like a whole class


@dataclass(frozen=True)
class Rules:
    """The meaning of label values: `lookup` is `label_lookup`'s table; `plain`: whether values are class ids as stored;
    `only_255`: whether no other value is ignored."""

    classes: ClassList
    lookup: npt.NDArray[np.int16]
    plain: bool
    only_255: bool = True

    @staticmethod
    def of(classes: ClassList, file: DatasetFile, known: dict[int, int] | None) -> Rules:
        """Return the rules by which `RGBTDataset` reads labels; `known`: the layout's table. Coloured labels are ids
        already."""
        table, ignore = file.label_table or known, file.ignore_id
        if file.label_colors:
            table, ignore = None, IGNORE_INDEX
        plain = table is None and not file.label_colors
        return Rules(classes, label_lookup(table, len(classes.names), ignore), plain, ignore == IGNORE_INDEX)

    def sort(self, label: LabelStats) -> tuple[dict[int, int], dict[int, int]]:
        """Pixels by class id (255: ignore), and pixels by value of what is outside."""
        inside: dict[int, int] = {IGNORE_INDEX: label.unlabelled} if label.unlabelled else {}
        outside: dict[int, int] = {}
        for value, pixels in label.values.items():
            found = int(self.lookup[value]) if 0 <= value < len(self.lookup) else -1
            kept, key = (inside, found) if found >= 0 else (outside, value)
            kept[key] = kept.get(key, 0) + pixels
        return inside, outside


def rules_by_value(measured: Sequence[PairStats]) -> Rules:
    """Rules for labels whose classes are not known: each value is a class of its own."""
    values = [value for stats in measured if stats.label for value in stats.label.values if 0 <= value < MAX_CLASSES]
    count = max(values, default=0) + 1
    return Rules(ClassList(tuple(f"id {i}" for i in range(count))), label_lookup(None, count), plain=True)


@dataclass
class Tally:
    """Pixels and images by class id, in all and by split."""

    pixels: dict[int, int]
    images: dict[int, int]
    by_split: dict[str, dict[int, int]]
    labels: int = 0


def count(measured: Sequence[PairStats], rules: Rules, split_of: Mapping[str, str]) -> Tally:
    """Count the pixels of all labels."""
    tally = Tally({}, {}, {})
    for stats in measured:
        if stats.label is None:
            continue
        tally.labels += 1
        split = tally.by_split.setdefault(split_of.get(stats.name, ""), {})
        for class_id, pixels in rules.sort(stats.label)[0].items():
            tally.pixels[class_id] = tally.pixels.get(class_id, 0) + pixels
            tally.images[class_id] = tally.images.get(class_id, 0) + 1
            split[class_id] = split.get(class_id, 0) + pixels
    return tally


def check_labels(measured: Sequence[PairStats], rules: Rules, tally: Tally) -> list[Finding]:
    """Everything about class ids."""
    labelled = [(stats.name, *rules.sort(stats.label)) for stats in measured if stats.label is not None]
    if not labelled:
        return []
    return [
        *_binary(labelled, rules),
        *_outside(labelled, rules),
        *_shifted(labelled, rules, tally),
        *_absent(rules, tally),
        *_ignored(labelled, tally),
        *_single(labelled),
    ]


_Labelled = Sequence[tuple[str, dict[int, int], dict[int, int]]]


def _binary(labelled: _Labelled, rules: Rules) -> list[Finding]:
    """Masks of 0 and 255, where values are class ids as stored."""
    if not _is_binary(labelled, rules):
        return []
    names = rules.classes.names
    return [Finding("error", "binary-mask", binary_mask_fault(names), binary_mask_remedy(names))]


def _is_binary(labelled: _Labelled, rules: Rules) -> bool:
    values = {value for _, inside, outside in labelled for value in (*inside, *outside)}
    return rules.plain and rules.only_255 and is_binary_mask(values)


def _outside(labelled: _Labelled, rules: Rules) -> list[Finding]:
    items = []
    totals: dict[int, int] = {}
    for name, _, outside in labelled:
        if outside:
            items.append(Item(name, ", ".join(f"id {v} ({pluralize(n, 'pixel')})" for v, n in sorted(outside.items()))))
        for value, pixels in outside.items():
            totals[value] = totals.get(value, 0) + pixels
    if not items:
        return []
    count = len(rules.classes.names)
    shown = ", ".join(f"{v} ({pluralize(n, 'pixel')})" for v, n in sorted(totals.items())[:6])
    more = f" and {len(totals) - 6} more" if len(totals) > 6 else ""
    known = f"{pluralize(count, 'class', 'classes')} 0..{count - 1}"
    message = f"ids outside the {known} in {pluralize(len(items), 'label')}: {shown}{more}"
    remedy = "correct the labels, the class list, label_table or ignore_index"
    return [Finding("error", "id-outside-classes", message, remedy, tuple(items))]


def _shifted(labelled: _Labelled, rules: Rules, tally: Tally) -> list[Finding]:
    """Ids that seem to be one too high or one too low; only where values are class ids as stored."""
    count = len(rules.classes.names)
    outside = {value for _, _, values in labelled for value in values}
    first, last = rules.classes.names[0], rules.classes.names[-1]
    if not rules.plain or count < 2 or _is_binary(labelled, rules):
        return []
    if 0 not in tally.pixels and outside and outside <= {count}:
        message = f"ids seem one too high: 0 ({first}) is never used, but {count}, one beyond the last, is"
        return [Finding("warning", "labels-shifted", message, "subtract 1 from all ids, or write a label_table")]
    total = sum(tally.pixels.values())
    ignored = tally.pixels.get(IGNORE_INDEX, 0) / max(total, 1)
    everywhere = tally.images.get(IGNORE_INDEX, 0) >= 0.9 * tally.labels
    if ignored > _SHIFTED and everywhere and count - 1 not in tally.pixels and not outside:
        message = (
            f"ids seem one too low: {count - 1} ({last}) is never used, and 255 (ignore) has {100 * ignored:.0f}% of "
            f"the pixels, as if it stood for 0 ({first}): subtracting 1 from 8-bit ids does that"
        )
        return [
            Finding("warning", "labels-shifted", message, "add 1 to all ids (255 becomes 0), or correct the export")
        ]
    return []


def _absent(rules: Rules, tally: Tally) -> list[Finding]:
    names = rules.classes.names
    absent = [Item(name, f"id {i}") for i, name in enumerate(names) if i not in tally.pixels]
    findings = []
    if absent:
        message = f"{pluralize(len(absent), 'class', 'classes')} in no label"
        remedy = "check the class list; training refuses a class that is never seen, unless --allow-absent is given"
        findings.append(Finding("warning", "class-absent", message, remedy, tuple(absent)))
    partly = [
        Item(name, f"not in {split}")
        for split, pixels in tally.by_split.items()
        for i, name in enumerate(names)
        if split and i in tally.pixels and i not in pixels
    ]
    if partly:
        message = f"{pluralize(len(partly), 'class', 'classes')} absent from a split"
        remedy = "split again (`cimnet data split`), or say over which classes scores are averaged"
        findings.append(Finding("warning", "class-absent-in-split", message, remedy, tuple(partly)))
    total = sum(pixels for i, pixels in tally.pixels.items() if i != IGNORE_INDEX)
    rare = [
        Item(name, f"{100 * tally.pixels[i] / total:.3f}% of the pixels, {pluralize(tally.images[i], 'image')}")
        for i, name in enumerate(names)
        if 0 < tally.pixels.get(i, 0) < _RARE * total
    ]
    if rare:
        message = f"{pluralize(len(rare), 'class', 'classes')} with less than {100 * _RARE:g}% of the pixels"
        findings.append(Finding("note", "class-rare", message, "class weights or a dice loss help", tuple(rare)))
    return findings


def _ignored(labelled: _Labelled, tally: Tally) -> list[Finding]:
    findings = []
    share = tally.pixels.get(IGNORE_INDEX, 0) / max(sum(tally.pixels.values()), 1)
    if share > _IGNORED_SOME:
        message = f"{100 * share:.0f}% of the label pixels are 255 (ignore): neither trained nor scored"
        severity: Severity = "warning" if share > _IGNORED_MUCH else "note"
        findings.append(Finding(severity, "ignored", message, "check that this is meant"))
    empty = tuple(Item(name) for name, inside, outside in labelled if set(inside) == {IGNORE_INDEX} and not outside)
    if empty:
        message = f"{pluralize(len(empty), 'label')} with nothing but 255 (ignore)"
        findings.append(Finding("warning", "label-empty", message, "label these pairs or take them out", empty))
    return findings


def _single(labelled: _Labelled) -> list[Finding]:
    single = tuple(
        Item(name, f"id {min(inside)}")
        for name, inside, outside in labelled
        if len(inside.keys() - {IGNORE_INDEX}) == 1 and not outside
    )
    if not single:
        return []
    message = f"{pluralize(len(single), 'label')} of one class only"
    return [Finding("note", "one-class", message, "nothing to do, if these images show nothing else", single)]


def table(rules: Rules, tally: Tally, splits: Sequence[str]) -> list[dict[str, Any]]:
    """One row a class: id, name, pixels, share of the labelled pixels (without 255), images, pixels by split."""
    total = sum(pixels for i, pixels in tally.pixels.items() if i != IGNORE_INDEX)
    return [
        {
            "id": i,
            "name": name,
            "pixels": tally.pixels.get(i, 0),
            "share": tally.pixels.get(i, 0) / total if total else 0.0,
            "images": tally.images.get(i, 0),
            "splits": {split: tally.by_split.get(split, {}).get(i, 0) for split in splits},
        }
        for i, name in enumerate(rules.classes.names)
    ]
