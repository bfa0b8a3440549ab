"""Where a layout keeps its files: patterns that both reading and writing go by."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cimnet.data.files import (
    ALL,
    IMAGE_EXTENSIONS,
    LIST_PLACES,
    THERMAL_EXTENSIONS,
    find_list,
    folder_names,
    list_names,
    name_some,
    read_names,
)
from cimnet.errors import DataError

SPLIT_FOLDERS = ("train", "val", "validation", "test")
"""Folders that `{split}` may stand for."""


@dataclass(frozen=True)
class Part:
    """The images of one kind: `folder` as errors name it, and the files by the name of their pair."""

    folder: str
    files: dict[str, Path]


@dataclass(frozen=True)
class Index:
    """What lies in a folder, whether or not it fits together. `thermal` None: fourth channel of the RGB files;
    `folders`: names by split folder, for layouts that have them; `patterns`: of file names."""

    rgb: Part
    thermal: Part | None
    labels: Part
    folders: dict[str, list[str]] = field(default_factory=dict)
    patterns: tuple[re.Pattern[str], ...] = ()

    def names(self) -> list[str]:
        """Every name that an RGB or thermal image goes by, sorted."""
        return sorted(self.rgb.files.keys() | (self.thermal.files.keys() if self.thermal else set()))

    def resolve(self, listed: str) -> str:
        """The name that a line of a list means: as it is, without leading folders, or as the file name of one of its
        images; the line's last part where nothing goes by any of these."""
        parts = listed.split("/")
        for tail in ("/".join(parts[start:]) for start in range(len(parts))):
            matches = [match for pattern in self.patterns if (match := pattern.fullmatch(tail))]
            for name in (tail, *map(_name, matches)):
                if name in self.rgb.files or (self.thermal is not None and name in self.thermal.files):
                    return name
        return parts[-1]


@dataclass(frozen=True)
class Form:
    """Paths below the root without extension, as in `"{split}/vi/{name}"`.

    Attributes:
        rgb, thermal, labels: patterns; `{name}` is the pair's, `{split}` one of `SPLIT_FOLDERS`; where file names hold
            something in the middle, `{name}` is what stands before and `{frame}` what stands after it, and the pair
            goes by name_frame. thermal None: the fourth channel of the RGB file.
        nested: `{name}` may hold folders ("sequence 1/0001").
        thermal_extension: of files written in this form.
    """

    rgb: str
    thermal: str | None
    labels: str
    nested: bool = False
    thermal_extension: str = ".png"

    def recognises(self, root: Path) -> bool:
        """Whether the folders of RGB and thermal are there, spelt exactly so."""
        return all(self._folders(root, pattern) for pattern in (self.rgb, self.thermal) if pattern is not None)

    def index(self, root: Path) -> Index:
        """List the files.

        Raises:
            DataError: two files of one kind share a name.
        """
        splits: dict[str, list[str]] = {}
        parts = {}
        for kind, pattern in (("rgb", self.rgb), ("thermal", self.thermal), ("labels", self.labels)):
            extensions = THERMAL_EXTENSIONS if kind == "thermal" else IMAGE_EXTENSIONS
            parts[kind] = None if pattern is None else self._part(root, pattern, extensions, splits)
        rgb, labels = parts["rgb"], parts["labels"]
        assert rgb is not None
        assert labels is not None
        folders = {split: sorted(set(names)) for split, names in splits.items()}
        patterns = tuple(_file_pattern(p) for p in (self.rgb, self.thermal, self.labels) if p is not None)
        return Index(rgb, parts["thermal"], labels, folders, patterns)

    def path(self, kind: str, name: str, split: str, extension: str | None = None) -> str:
        """The relative path of a file to be written; kind is rgb, thermal or labels."""
        pattern = {"rgb": self.rgb, "thermal": self.thermal, "labels": self.labels}[kind] or self.rgb
        suffix = extension or (self.thermal_extension if kind == "thermal" else ".png")
        if "{frame}" in pattern:
            name, _, frame = name.rpartition("_") if "_" in name else (name, "", "0")
            pattern = pattern.replace("{frame}", frame)
        return pattern.replace("{split}", split).replace("{name}", name) + suffix

    def folders(self) -> str:
        """The folders in words, for errors and docs."""
        shown = [pattern for pattern in (self.rgb, self.thermal, self.labels) if pattern is not None]
        return ", ".join(dict.fromkeys(p.replace("{split}", "{train,test}").rpartition("/")[0] + "/" for p in shown))

    def _folders(self, root: Path, pattern: str) -> list[tuple[str, Path]]:
        """(split, folder) of each folder of a pattern that is there; split "" where the pattern has none."""
        static = _static(pattern)
        splits: Sequence[str] = SPLIT_FOLDERS if "{split}" in static else ("",)
        found = [(split, _exact(root, static.replace("{split}", split))) for split in splits]
        return [(split, folder) for split, folder in found if folder is not None]

    def _part(self, root: Path, pattern: str, extensions: Sequence[str], splits: dict[str, list[str]]) -> Part:
        static, file_pattern = _static(pattern), _file_pattern(pattern)
        found: dict[tuple[str, str], Path] = {}
        for split, folder in self._folders(root, pattern):
            for relative in images_below(folder, self.nested, extensions):
                match = file_pattern.fullmatch(unicodedata.normalize("NFC", relative.rpartition(".")[0]))
                if match is None:
                    continue
                key = (split, _name(match))
                if key in found:
                    raise DataError(
                        f"{folder}: {found[key].name} and {Path(relative).name} share a name; keep one of them"
                    )
                found[key] = folder / relative
        uses = Counter(name for _, name in found)
        files = {}
        for (split, name), path in found.items():
            # the same name in two split folders: the folder tells them apart
            full = name if uses[name] == 1 or not split else f"{split}/{name}"
            files[full] = path
            if split:
                splits.setdefault(split, []).append(full)
        return Part(str(root / static.replace("{split}", "{" + ",".join(SPLIT_FOLDERS) + "}")), files)


def _static(pattern: str) -> str:
    """The folders of a pattern before the one that holds the name."""
    return pattern[: pattern.index("{name}")].rpartition("/")[0]


def _file_pattern(pattern: str) -> re.Pattern[str]:
    """What matches the rest of a path, without extension."""
    rest = re.escape(pattern[len(_static(pattern)) :].lstrip("/"))
    return re.compile(rest.replace(r"\{name\}", "(.+)").replace(r"\{frame\}", "(.+)"))


def _name(match: re.Match[str]) -> str:
    return "_".join(match.groups())


def images_below(folder: Path, nested: bool, extensions: Sequence[str] = IMAGE_EXTENSIONS) -> Iterator[str]:
    """Paths of the image files of a folder, relative to it with "/", sorted; with `nested` those of folders inside,
    too. Hidden files are skipped, and a folder that links lead to twice is entered once."""
    yield from _below(folder, "", nested, tuple(extensions), {os.path.realpath(folder)})


def _below(folder: Path, prefix: str, nested: bool, extensions: tuple[str, ...], seen: set[str]) -> Iterator[str]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue
        if nested and _is_folder(entry):
            real = os.path.realpath(entry.path)
            if real not in seen:
                seen.add(real)
                yield from _below(folder / entry.name, f"{prefix}{entry.name}/", nested, extensions, seen)
        elif entry.name.lower().endswith(extensions):
            yield prefix + entry.name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _exact(root: Path, relative: str) -> Path | None:
    """root/relative if it is a folder spelt exactly so, also where the file system ignores case."""
    folder = root
    for part in relative.split("/") if relative else []:
        if not folder.is_dir() or part not in folder_names(folder):
            return None
        folder = folder / part
    return folder if folder.is_dir() else None


def split_names(root: Path, split: str, index: Index, places: Sequence[str] = LIST_PLACES) -> list[str]:
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
        found = [*index.folders, *list_names(root)]
        others = f"splits found: {', '.join(found)}" if found else f"or use split {ALL!r} for every file"
        raise DataError(f"{root}: no list {split}.txt (nor splits/{split}.txt); write one name a line, {others}")
    if not (names := index.names()):
        raise DataError(f"{root}: no images found (extensions {', '.join(IMAGE_EXTENSIONS)})")
    return names


def case_hint(root: Path, forms: Sequence[Form]) -> str:
    """Which folders are there under another spelling, if that is all that is wrong."""
    there = {entry.name.lower(): entry.name for entry in root.iterdir() if entry.is_dir()}
    for form in forms:
        wanted = [p.split("/")[0] for p in (form.rgb, form.thermal) if p is not None and "{" not in p.split("/")[0]]
        wrong = [name for name in wanted if there.get(name.lower(), name) != name]
        if wrong:
            return f" (found {there[wrong[0].lower()]}/: rename it to {wrong[0]}/)"
    return ""
