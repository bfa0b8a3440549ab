"""The places of a layout's files: patterns for both reading and writing."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from cimnet.data.io.folder_spelling import case_hint, exact_folder
from cimnet.data.io.name_patterns import FileName, NamePattern
from cimnet.data.io.notices import notice
from cimnet.data.io.pattern_files import Matches, in_time, settle
from cimnet.data.io.split_lists import (
    ALL,
    FLIP,
    IMAGE_EXTENSIONS,
    LIST_PLACES,
    SPLIT_FOLDERS,
    THERMAL_EXTENSIONS,
    UNREAD_EXTENSIONS,
    find_list,
    list_names,
    name_some,
    read_names,
    say_unread,
)
from cimnet.errors import DataError


@dataclass(frozen=True)
class FilesOfKind:
    """The images of one kind: `folder` (see `FileIndex.place`), and the files by the name of their pair."""

    folder: str
    files: dict[str, Path]


@dataclass(frozen=True)
class FileIndex:
    """The files in a folder, whether or not they fit together. `thermal` None: fourth channel of the RGB files;
    `folders`: names by split folder, for layouts that have them; `patterns`: of file names; `hint`: see `case_hint`."""

    rgb: FilesOfKind
    thermal: FilesOfKind | None
    labels: FilesOfKind
    folders: dict[str, list[str]] = field(default_factory=dict)
    patterns: tuple[NamePattern, ...] = ()
    hint: str = ""

    def place(self, part: FilesOfKind, split: str) -> str:
        """The folder of a part, as errors name it: the split's own, or all that there are."""
        return part.folder.replace("{split}", split if split in self.folders else "{" + ",".join(self.folders) + "}")

    def names(self) -> list[str]:
        """Every name that an RGB or thermal image goes by, sorted."""
        return sorted(self.rgb.files.keys() | (self.thermal.files.keys() if self.thermal else set()))

    def resolve(self, listed: str) -> str:
        """The name that a line of a list means: as it is, without leading folders, or as the file name of one of its
        images; where nothing goes by any of these, what its last part would mean."""
        parts = listed.split("/")
        last = next((n for n, part in enumerate(parts) if part.lower() in self._tops), len(parts) - 1)
        for tail in ("/".join(parts[start:]) for start in range(last + 1)):
            meant = [found.name for pattern in self.patterns if (found := pattern.read(tail)) is not None]
            for name in (tail, *meant):
                if name in self.rgb.files or (self.thermal is not None and name in self.thermal.files):
                    return name
        return meant[0] if meant else tail

    def read_lists(self, *paths: Path, needed: bool = False) -> list[str]:
        """The names in lists of scenes or flags, of which some pair must be in the folder, in whichever split: else a
        warning is given.

        Raises:
            DataError: a list cannot be read; or no name is a pair's, and the lists are `needed`.
        """
        names = [self.resolve(line) for path in paths for line in read_names(path)]
        known = self.rgb.files.keys() | (self.thermal.files.keys() if self.thermal else set())
        if names and known.isdisjoint(names) and known.isdisjoint(name.removesuffix(FLIP) for name in names):
            text = (
                f"{name_some([paths[0], *(path.name for path in paths[1:])])}: no pair goes by the names listed there "
                f"({name_some(names)}), so they have no effect; correct them, or remove those of pairs that are not "
                "here"
            )
            if needed:
                raise DataError(text)
            notice(text)
        return names

    @cached_property
    def _tops(self) -> set[str]:
        """First folders of names that hold folders: where they stand in a line, the name begins."""
        names = [] if self.folders else self.names()
        return {name.partition("/")[0].lower() for name in names if "/" in name}


@dataclass(frozen=True)
class FilePattern:
    """Paths below the root without extension, as in `"{split}/vi/{name}"`.

    Attributes:
        rgb, thermal, labels: patterns, see `NamePattern`; `{split}` is one of `SPLIT_FOLDERS`; where file names hold
            something in the middle, `{name}` is what stands before and `{frame}` what stands after it, and the pair
            goes by name_frame. thermal None: the fourth channel of the RGB file.
        nested: `{name}` may hold folders ("sequence 1/0001").
        thermal_extension: of files written in this form.
        max_gap: seconds by which partners may be apart where patterns hold `{time}`; None: the usual interval.
    """

    rgb: str
    thermal: str | None
    labels: str
    nested: bool = False
    thermal_extension: str = ".png"
    max_gap: float | None = None

    def recognises(self, root: Path) -> bool:
        """Whether the folders of RGB and thermal are there, spelt exactly so."""
        return all(self._folders(root, pattern) for pattern in (self.rgb, self.thermal) if pattern is not None)

    def index(self, root: Path) -> FileIndex:
        """List the files.

        Raises:
            DataError: two files of one kind share a name, a file fits two patterns, or a folder cannot be read.
        """
        matches = {
            kind: self._matches(root, pattern, THERMAL_EXTENSIONS if kind == "thermal" else IMAGE_EXTENSIONS)
            for kind, pattern in self.patterns().items()
        }
        settle(root, self.patterns(), matches)
        files = {kind: self._unique(found) for kind, found in matches.items()}
        if any(NamePattern(pattern).timed for pattern in self.patterns().values()):
            files = in_time(root, files, self.max_gap)
        rgb, thermal, labels = (
            {(n.split, n.name): path for n, path in files.get(kind, {}).items()}
            for kind in ("rgb", "thermal", "labels")
        )
        keys = sorted(rgb.keys() | thermal.keys() | labels.keys())
        uses = Counter(name for split, name in keys if split)
        # a name in two split folders, whatever lies there: the folder tells them apart
        names = {(split, name): f"{split}/{name}" if split and uses[name] > 1 else name for split, name in keys}
        folders = {split: [names[key] for key in keys if key[0] == split] for split in SPLIT_FOLDERS}

        def part(pattern: str, files: dict[tuple[str, str], Path]) -> FilesOfKind:
            return FilesOfKind(
                str(root / NamePattern(pattern).folder), {names[key]: path for key, path in files.items()}
            )

        return FileIndex(
            part(self.rgb, rgb),
            None if self.thermal is None else part(self.thermal, thermal),
            part(self.labels, labels),
            {split: found for split, found in folders.items() if found},
            tuple(map(NamePattern, self.patterns().values())),
            case_hint(root, [self.patterns()]),
        )

    def path(self, kind: str, name: str, split: str, extension: str | None = None) -> str:
        """The relative path of a file to be written; kind is rgb, thermal or labels."""
        pattern = {"rgb": self.rgb, "thermal": self.thermal, "labels": self.labels}[kind] or self.rgb
        suffix = extension or (self.thermal_extension if kind == "thermal" else ".png")
        if "{frame}" in pattern:
            name, _, frame = name.rpartition("_") if "_" in name else (name, "", "0")
            pattern = pattern.replace("{frame}", frame)
        return pattern.replace("{split}", split).replace("{name}", name) + suffix

    def patterns(self) -> dict[str, str]:
        """The patterns by kind; without thermal if that is the fourth channel."""
        patterns = {"rgb": self.rgb, "thermal": self.thermal, "labels": self.labels}
        return {kind: pattern for kind, pattern in patterns.items() if pattern is not None}

    def folders(self) -> str:
        """The folders in words, for errors and docs."""
        shown = [pattern for pattern in (self.rgb, self.thermal, self.labels) if pattern is not None]
        return ", ".join(dict.fromkeys(p.replace("{split}", "{train,test}").rpartition("/")[0] + "/" for p in shown))

    def _folders(self, root: Path, pattern: str) -> list[tuple[str, Path]]:
        """(split, folder) of each folder of a pattern that is there; split "" where the pattern has none."""
        static = NamePattern(pattern).folder
        splits: Sequence[str] = SPLIT_FOLDERS if "{split}" in static else ("",)
        found = [(split, exact_folder(root, static.replace("{split}", split))) for split in splits]
        return [(split, folder) for split, folder in found if folder is not None]

    def _matches(self, root: Path, pattern: str, extensions: Sequence[str]) -> Matches:
        """Files of one kind with what their names mean."""
        names = NamePattern(pattern)
        return [
            (name, folder / relative)
            for split, folder in self._folders(root, pattern)
            for relative in images_below(folder, self.nested, extensions)
            if (name := names.read(unicodedata.normalize("NFC", relative.rpartition(".")[0]), split)) is not None
        ]

    def _unique(self, matches: Matches) -> dict[FileName, Path]:
        """Files of one kind by what their names mean."""
        found: dict[FileName, Path] = {}
        for name, path in matches:
            if name in found:
                more = "" if found[name].stem == path.stem else ", or write {time} in place of {*} in the pattern"
                raise DataError(
                    f"{path.parent}: {found[name].name} and {path.name} share a name; keep one of them{more}"
                )
            found[name] = path
        return found


def images_below(folder: Path, nested: bool, extensions: Sequence[str] = IMAGE_EXTENSIONS) -> Iterator[str]:
    """Paths of the image files of a folder, relative to it with "/", sorted; with `nested` those of folders inside,
    too. Hidden files are skipped. A folder that links lead to twice is entered once, and a link to one above never.

    Raises:
        DataError: a folder that cannot be read.
    """
    real = Path(os.path.realpath(folder))
    yield from _below(folder, "", nested, tuple(extensions), {str(real), *map(str, real.parents)})


def _below(folder: Path, prefix: str, nested: bool, extensions: tuple[str, ...], seen: set[str]) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{folder}: the folder cannot be read ({error.strerror}); allow it") from error
    unread: list[str] = []
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if nested and _is_folder(entry):
            real = os.path.realpath(entry.path)
            if real not in seen:
                seen.add(real)
                yield from _below(folder / entry.name, f"{prefix}{entry.name}/", nested, extensions, seen)
        elif entry.name.lower().endswith(extensions):
            if "\n" in entry.name or "\r" in entry.name:
                raise DataError(f"{folder}: the file name {entry.name!r} holds a line break; rename the file")
            yield prefix + entry.name
        elif entry.name.lower().endswith(UNREAD_EXTENSIONS):
            unread.append(entry.name)
    say_unread(folder, unread)


def folders_below(folder: Path) -> Iterator[Path]:
    """A folder and those inside, sorted. As in `images_below`, none is entered twice, and hidden ones are not.

    Raises:
        DataError: a folder that cannot be read.
    """
    real = Path(os.path.realpath(folder))
    seen = {str(parent) for parent in real.parents}
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        real_place = os.path.realpath(place)
        if real_place in seen:
            continue
        seen.add(real_place)
        yield place
        try:
            entries = sorted(os.scandir(place), key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            raise DataError(f"{place}: the folder cannot be read ({error.strerror}); allow it") from error
        waiting += [place / entry.name for entry in entries if not entry.name.startswith(".") and _is_folder(entry)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def split_names(root: Path, split: str, index: FileIndex, places: Sequence[str] = LIST_PLACES) -> list[str]:
    """Names of a split: those in its list; else those in its folder; for "all" every one, sorted.

    Raises:
        DataError: no such list or folder, an empty one, or a name listed twice.
    """
    path = find_list(root, split, places)
    if path is not None:
        names = [index.resolve(line) for line in read_names(path)]
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise DataError(f"{path}: listed more than once: {name_some(twice)}; remove the repetitions")
        if not names:
            raise DataError(f"{path}: the list of split {split!r} is empty; write one name a line")
        return names
    if split in index.folders:
        return index.folders[split]
    if split != ALL:
        first, *further = (place.replace("{list}", split) for place in places)
        lists = [name for name in list_names(root, places) if names_pairs(root, name, index, places)]
        found = [*index.folders, *lists]
        others = f"use split {ALL!r} for every file, or let `cimnet data split` write lists"
        if found:
            others = f"splits found: {', '.join(found)}"
        raise DataError(
            f"{root}: no list {first} (nor {', '.join(further)}){index.hint}; write one name a line, {others}"
        )
    if not (names := index.names()):
        raise DataError(f"{root}: no images found (extensions {', '.join(IMAGE_EXTENSIONS)})")
    return names


def names_pairs(root: Path, name: str, index: FileIndex, places: Sequence[str] = LIST_PLACES) -> bool:
    """Whether the text file `NAME.txt` is a list of pairs, and not empty or, say, a README.

    Raises:
        DataError: a list of train, val, validation or test that cannot be read.
    """
    path = find_list(root, name, places)
    try:
        lines = [] if path is None else read_names(path)
    except DataError:
        if name in SPLIT_FOLDERS:
            raise
        return False
    there = index.rgb.files
    return any(found in there or found.removesuffix(FLIP) in there for found in map(index.resolve, lines))
