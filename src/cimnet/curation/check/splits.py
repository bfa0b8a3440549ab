"""Assign names to splits by the lists of a folder, and report faults of the lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cimnet.curation.check.check_files import relative
from cimnet.curation.check.findings import Finding, Item, Severity
from cimnet.data.dataset import RGBTDataset
from cimnet.data.flags import FLAG_LISTS, read_flags
from cimnet.data.io.notices import keep_notices
from cimnet.data.io.patterns import FileIndex
from cimnet.data.io.split_lists import ALL, FLIP, SPLIT_FOLDERS, find_list, list_names, read_names, scenes_of
from cimnet.errors import DataError
from cimnet.utils.numbers import pluralize

_SCENES = ("day", "night", "dark_night")


@dataclass
class Splits:
    """The lists of a folder.

    Attributes:
        names: names by split, each once; a `_flip` name without files of its own counts as the original.
        wanted: names that need a label: those of train, val, validation and test; None: all, as there are no splits.
        scenes, flags: by name.
        broken_known: whether there are lists of broken pairs.
    """

    names: dict[str, list[str]] = field(default_factory=dict)
    wanted: frozenset[str] | None = None
    scenes: dict[str, str] = field(default_factory=dict)
    flags: dict[str, set[str]] = field(default_factory=dict)
    broken_known: bool = False

    def listed(self) -> frozenset[str]:
        """The names of all splits."""
        return frozenset(name for names in self.names.values() for name in names)

    def by_name(self) -> dict[str, str]:
        """The split of each name, the first where there are several; names in the order of the splits."""
        found: dict[str, str] = {}
        for split, names in self.names.items():
            found |= {name: split for name in names if name not in found}
        return found


class _Reader:
    """Reads lists and collects what is wrong with them, an item a name or file, by code."""

    def __init__(self, root: Path, layout: type[RGBTDataset], index: FileIndex) -> None:
        self.root, self.layout, self.index = root, layout, index
        self.known = index.rgb.files.keys() | (index.thermal.files.keys() if index.thermal else set())
        self.spelt = {name.casefold(): name for name in self.known}
        self.faults: dict[str, list[Item]] = {}

    def fault(self, code: str, name: str, detail: str = "") -> None:
        self.faults.setdefault(code, []).append(Item(name, detail))

    def lines(self, path: Path) -> list[str]:
        """Names of a list, as they resolve; none for one that cannot be read."""
        try:
            return [self.index.resolve(line) for line in read_names(path)]
        except DataError as error:
            self.fault("list-unreadable", relative(self.root, path), str(error).removeprefix(f"{path}: "))
            return []

    def source(self, name: str) -> str:
        """The name whose files serve a name."""
        original = name.removesuffix(FLIP)
        mirrored = self.layout.flips and name not in self.index.rgb.files and original in self.index.rgb.files
        return original if mirrored else name

    def unknown(self, path: Path, names: Sequence[str], code: str) -> None:
        """Note the names that no file goes by."""
        for name in dict.fromkeys(names):
            if self.source(name) not in self.known:
                other = self.spelt.get(name.casefold())
                hint = f"; {other} differs in upper and lower case only" if other else ""
                self.fault(code, name, f"named in {relative(self.root, path)}{hint}")

    def split(self, path: Path) -> list[str]:
        """The names of a split's list, checked."""
        names = self.lines(path)
        shown = relative(self.root, path)
        if not names and shown not in [item.name for item in self.faults.get("list-unreadable", ())]:
            self.fault("empty-list", shown)
        for name, count in Counter(names).items():
            if count > 1:
                self.fault("listed-twice", name, f"{pluralize(count, 'time')} in {shown}")
        self.unknown(path, names, "listed-missing")
        return list(dict.fromkeys(map(self.source, names)))


def read_splits(root: Path, layout: type[RGBTDataset], index: FileIndex) -> tuple[Splits, list[Finding]]:
    """Read all lists of a folder. A list that is neither train, val, validation nor test, and shares no name with
    these, is a split of its own; others are subsets. Text files that name hardly any image are no lists."""
    reader = _Reader(root, layout, index)
    splits = Splits()
    for name in SPLIT_FOLDERS:
        path = find_list(root, name, layout.lists)
        if path is not None:
            splits.names[name] = reader.split(path)
        elif name in index.folders:
            splits.names[name] = index.folders[name]
    if splits.names:
        splits.wanted = splits.listed()
        in_split: dict[str, list[str]] = {}
        for split, names in splits.names.items():
            for name in names:
                in_split.setdefault(name, []).append(split)
        for name, holders in in_split.items():
            if len(holders) > 1:
                reader.fault("in-two-splits", name, ", ".join(holders))
    _read_others(reader, splits)
    if splits.names:
        complete = index.rgb.files.keys() & (index.thermal or index.rgb).files.keys()
        for name in sorted(complete - splits.listed()):
            reader.fault("unlisted", name)
    else:
        splits.names[ALL] = index.names()
    _read_scenes_and_flags(reader, splits)
    return splits, _findings(reader.faults)


def _read_others(reader: _Reader, splits: Splits) -> None:
    """Lists beside those of the usual splits."""
    taken = set(splits.wanted or ())
    for name in list_names(reader.root, reader.layout.lists):
        path = find_list(reader.root, name, reader.layout.lists)
        if path is None or name in splits.names:
            continue
        special = name in FLAG_LISTS.values() or name.startswith("broken_in_") or _is_scene(name)
        names = reader.lines(path) if special else _lines_of_images(reader, path)
        reader.unknown(path, names, "listed-missing-elsewhere")
        if names and not special:
            sources = list(dict.fromkeys(map(reader.source, names)))
            if taken.isdisjoint(sources):
                splits.names[name] = sources
                taken.update(sources)


def _lines_of_images(reader: _Reader, path: Path) -> list[str]:
    """Names of a text file of which at least half are images; none of any other text."""
    try:
        names = [reader.index.resolve(line) for line in read_names(path)]
    except DataError:
        return []
    known = sum(reader.source(name) in reader.known for name in names)
    return names if 2 * known >= len(names) else []


def _is_scene(name: str) -> bool:
    return any(name == scene or name.endswith(f"_{scene}") for scene in _SCENES)


def _read_scenes_and_flags(reader: _Reader, splits: Splits) -> None:
    """A list that is unreadable or names no pair has its finding already, from reading it as a list."""
    try:
        with keep_notices():
            splits.flags, splits.broken_known = read_flags(reader.root, reader.index)
            for split, names in splits.names.items():
                scenes = scenes_of(reader.root, split, names, reader.index.read_lists)
                splits.scenes |= {name: scene for name, scene in zip(names, scenes, strict=True) if scene}
    except DataError as error:
        if "list-unreadable" not in reader.faults:
            reader.fault("list-unreadable", "scenes/", str(error))


_MEANING: tuple[tuple[Severity, str, str, str], ...] = (
    ("error", "list-unreadable", "{lists} that cannot be read", "save as UTF-8 text, one name a line"),
    ("error", "empty-list", "{lists} without a name", "write one name a line, or remove the file"),
    ("error", "listed-missing", "{names} of a split without any image", "add the images or remove the names"),
    ("warning", "listed-missing-elsewhere", "{names} of another list without any image", "correct the list"),
    ("error", "listed-twice", "{names} listed more than once", "remove the repetitions"),
    ("error", "in-two-splits", "{names} in two splits: what is tested was trained on", "keep each in one split"),
    ("warning", "unlisted", "{pairs} in no list: used neither in training nor in tests", "list or remove them"),
)


def _findings(faults: dict[str, list[Item]]) -> list[Finding]:
    found = []
    for severity, code, text, remedy in _MEANING:
        if items := faults.get(code):
            words = {what: pluralize(len(items), what[:-1]) for what in ("lists", "names", "pairs")}
            found.append(Finding(severity, code, text.format(**words), remedy, tuple(items)))
    return found
