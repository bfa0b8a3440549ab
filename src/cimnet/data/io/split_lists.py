"""Names and files of a data set folder: split lists, stems, scenes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from cimnet.data.io.notices import notice
from cimnet.errors import DataError
from cimnet.utils.numbers import pluralize

IMAGE_EXTENSIONS = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".webp", ".avif", ".jp2", ".j2k", ".jpx",
    *((".heic", ".heif") if find_spec("pillow_heif") else ()),
)  # fmt: skip
UNREAD_EXTENSIONS = (
    ".gif", ".dng", ".raw", ".cr2", ".cr3", ".nef", ".arw", ".rw2", ".orf", ".seq", ".csq", ".fff", ".is2", ".sfmov",
    ".psd", ".exr", ".hdr", ".svg", ".jxl", ".npz", ".dcm", ".heic", ".heif",
)  # fmt: skip
"""Images of kinds that are not read; a folder that holds some is said to."""
THERMAL_EXTENSIONS = (*IMAGE_EXTENSIONS, ".npy")
LIST_PLACES = ("{list}.txt", "splits/{list}.txt")
SPLIT_FOLDERS = ("train", "val", "validation", "test")
"""Folders that `{split}` in a pattern may stand for."""
FLIP = "_flip"
"""The end of a listed name that may mean another pair, mirrored."""
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


def index_images(folder: Path, extensions: tuple[str, ...] = IMAGE_EXTENSIONS) -> dict[str, Path]:
    """Stem -> file for the images of one flat folder, sorted; hidden files and other types are skipped.

    Raises:
        DataError: the folder is missing, or two files share a stem.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    files: dict[str, Path] = {}
    unread: list[str] = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in extensions or path.name.startswith("."):
            unread += [path.name] * path.name.lower().endswith(UNREAD_EXTENSIONS)
            continue
        stem = unicodedata.normalize("NFC", path.stem)
        if stem in files:
            raise DataError(f"{folder}: {files[stem].name} and {path.name} share a name; keep one of them")
        files[stem] = path
    say_unread(folder, unread)
    return files


def say_unread(folder: Path, names: Sequence[str]) -> None:
    """Warn of images in a folder that are of kinds that cannot be read."""
    visible = [name for name in names if not name.startswith(".")]
    if visible:
        count = "an image is" if len(visible) == 1 else f"{pluralize(len(visible), 'image')} are"
        notice(f"{folder}: {count} of a kind that is not read: {name_some(visible)}; convert to PNG or TIFF")


def read_names(path: Path) -> list[str]:
    """Names in a list file: one a line, without image extension; folders stay ("rgb/0001").

    Blank lines, surrounding spaces, CRLF, a UTF-8 byte order mark and further columns (after a tab, or after a comma
    that follows an image extension) are tolerated.

    Raises:
        DataError: not UTF-8 text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: cannot be read as UTF-8 text; save the list as UTF-8") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); restore the list or allow it") from error
    return parse_names(text)


def parse_names(text: str) -> list[str]:
    """The names in the text of a list."""
    return [_without_extension(line) for line in re.split(r"\r\n|\r|\n", text) if line.strip()]


def list_text(names: Sequence[str], resolve: Callable[[str], str] = str) -> str:
    """The text of a list, one name a line. Every list that is written comes from here, so that it can be read back.

    Args:
        resolve: what reading does with a line (`FileIndex.resolve`).

    Raises:
        DataError: names that a list cannot hold: with blanks at their ends, tabs, line breaks, backslashes, an image
            extension of their own, or not UTF-8.
    """
    for name in names:
        try:
            f"{name}\n".encode()
            back = [resolve(line) for line in parse_names(f"{name}\n")]
        except UnicodeEncodeError:
            back = []
        if back != [name]:
            raise DataError(
                f"the name {name!r} cannot stand in a list (blanks at its ends, a tab, a line break, a backslash, an "
                "image extension inside, or not UTF-8); rename its files"
            )
    return "".join(f"{name}\n" for name in names)


def find_list(root: Path, name: str, places: Sequence[str] = LIST_PLACES) -> Path | None:
    """`NAME.txt` in root or in root/splits; None when there is neither. `places`: other patterns below root.

    A name may hold folders ("folds/0/train"), and be an absolute path, of a list that lies elsewhere."""
    paths = [root / place.replace("{list}", name) for place in places]
    return next((path for path in paths if path.is_file()), None)


def list_names(root: Path, places: Sequence[str] = LIST_PLACES) -> list[str]:
    """Names of the lists that there are in these places, sorted."""
    names = set()
    for place in places:
        folder, _, file_name = place.rpartition("/")
        before, after = file_name.split("{list}")
        names |= {path.name[len(before) : -len(after)] for path in (root / folder).glob(f"{before}*{after}")}
    return sorted(names)


def scenes_of(root: Path, split: str, names: Sequence[str], read: Callable[[Path], list[str]]) -> list[str]:
    """Scene of each name: from day.txt, night.txt, dark_night.txt or SPLIT_day.txt … where they exist, or from any
    list in scenes/ (scenes/fog.txt: "fog"); otherwise from a name like 00012D or 00012N, otherwise "".

    Args:
        read: gives the names in a list, see `FileIndex.read_lists`.
    """
    listed: dict[str, str] = {}
    for scene in _SCENES:
        for list_name in (scene, f"{split}_{scene}"):
            path = find_list(root, list_name)
            if path is not None:
                listed.update(dict.fromkeys(read(path), scene))
    for path in sorted((root / "scenes").glob("*.txt")):
        listed.update(dict.fromkeys(read(path), path.stem))
    return [listed.get(name) or _scene_by_name(name.rpartition("/")[2]) for name in names]


def require_all(
    names: Sequence[str],
    part_folder: str,
    files: Iterable[str],
    why: str,
    hint: str = "",
    otherwise: str = "add it or remove the name",
) -> None:
    """Raise a DataError naming what is missing in a folder (`why` says who asks for it; `hint`: what is wrong with the
    folders; `otherwise`: the remedy where nothing is known of the cause)."""
    there = set(files)
    missing = [name for name in names if name not in there]
    if not missing:
        return
    other_case = {name.lower(): name for name in there}.get(missing[0].lower())
    remedy = f"; {other_case} differs in upper and lower case only" if other_case else f"; {otherwise}"
    raise DataError(f"{part_folder}: no image for {name_some(missing)} ({why}){hint or remedy}")


def _without_extension(line: str) -> str:
    name = unicodedata.normalize("NFC", line.split("\t")[0].strip()).replace("\\", "/").removeprefix("./")
    first, comma, _ = name.partition(",")
    if comma and Path(first).suffix.lower() in THERMAL_EXTENSIONS:
        name = first
    extension = Path(name).suffix
    return name[: -len(extension)] if extension.lower() in THERMAL_EXTENSIONS else name


def _scene_by_name(name: str) -> str:
    match = _DAY_OR_NIGHT.match(name.removesuffix("_flip"))
    return "" if match is None else {"D": "day", "N": "night"}[match.group(1)]
