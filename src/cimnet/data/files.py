"""Names and files of a data set folder: split lists, stems, scenes."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from cimnet.errors import DataError

IMAGE_EXTENSIONS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
ALL = "all"
"""The split that means every file of the folder, whether or not lists exist."""

_SCENES = ("day", "night", "dark_night")  # later ones win: a dark night may be listed as a night, too
_DAY_OR_NIGHT = re.compile(r"^\d{5}([DN])$")


def name_some(names: Sequence[object], shown: int = 2) -> str:
    """'a, b and 3 more'."""
    text = ", ".join(str(name) for name in names[:shown])
    return f"{text} and {len(names) - shown} more" if len(names) > shown else text


def folder_names(root: Path) -> set[str]:
    """Names of the folders directly in root, spelt as on disk (also where the file system ignores case)."""
    return {entry.name for entry in root.iterdir() if entry.is_dir()}


def index_images(folder: Path) -> dict[str, Path]:
    """Stem -> file for the images of one flat folder, sorted; hidden files and other types are skipped.

    Raises:
        DataError: the folder is missing, or two files share a stem.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in IMAGE_EXTENSIONS or path.name.startswith("."):
            continue
        stem = unicodedata.normalize("NFC", path.stem)
        if stem in files:
            raise DataError(f"{folder}: {files[stem].name} and {path.name} share a name; keep one of them")
        files[stem] = path
    return files


def read_names(path: Path) -> list[str]:
    """Names in a list file: one a line, with or without folder and image extension.

    Blank lines, surrounding spaces, CRLF and a UTF-8 byte order mark are tolerated.

    Raises:
        DataError: not UTF-8 text, or a name listed twice.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 text; save the list as UTF-8") from error
    names = [_stem(line) for line in lines if line.strip()]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{path}: listed more than once: {name_some(twice)}; remove the repetitions")
    return names


def find_list(root: Path, name: str) -> Path | None:
    """`NAME.txt` in root or in root/splits; None when there is neither."""
    for folder in (root, root / "splits"):
        path = folder / f"{name}.txt"
        if path.is_file():
            return path
    return None


def split_names(root: Path, split: str, available: Iterable[str]) -> list[str]:
    """Names of a split: those in its list, or for "all" without a list every `available` one, sorted.

    Raises:
        DataError: no such list, or an empty one.
    """
    path = find_list(root, split)
    if path is not None:
        names = read_names(path)
        if not names:
            raise DataError(f"{path}: the list of split {split!r} is empty; write one name a line")
        return names
    if split != ALL:
        found = sorted(file.stem for folder in (root, root / "splits") for file in folder.glob("*.txt"))
        others = f"lists found: {', '.join(found)}" if found else f"or use split {ALL!r} for every file"
        raise DataError(f"{root}: no list {split}.txt (nor splits/{split}.txt); write one name a line, {others}")
    names = sorted(available)
    if not names:
        raise DataError(f"{root}: no images found (extensions {', '.join(IMAGE_EXTENSIONS)})")
    return names


def scenes_of(root: Path, split: str, names: Sequence[str]) -> list[str]:
    """Scene of each name: from day.txt, night.txt, dark_night.txt or SPLIT_day.txt … where they exist,
    otherwise from a name like 00012D or 00012N (as in MFNet, MSRS, Kust4K), otherwise ""."""
    listed: dict[str, str] = {}
    for scene in _SCENES:
        for list_name in (scene, f"{split}_{scene}"):
            path = find_list(root, list_name)
            if path is not None:
                listed.update(dict.fromkeys(read_names(path), scene))
    return [listed.get(name) or _scene_by_name(name) for name in names]


def require_all(names: Sequence[str], files: dict[str, Path], folder: Path, why: str) -> None:
    """Raise a DataError naming what is missing in `folder` (`why` says who asks for it)."""
    missing = [name for name in names if name not in files]
    if missing:
        raise DataError(f"{folder}: no image for {name_some(missing)} ({why}); add it or remove the name")


def _stem(line: str) -> str:
    name = unicodedata.normalize("NFC", line.strip()).replace("\\", "/").rsplit("/", 1)[-1]
    extension = Path(name).suffix
    return name[: -len(extension)] if extension.lower() in IMAGE_EXTENSIONS else name


def _scene_by_name(name: str) -> str:
    match = _DAY_OR_NIGHT.match(name.removesuffix("_flip"))
    return "" if match is None else {"D": "day", "N": "night"}[match.group(1)]
