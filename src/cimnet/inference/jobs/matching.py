"""Pair the images of two folders by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cimnet.data.io.split_lists import IMAGE_EXTENSIONS, THERMAL_EXTENSIONS, index_images
from cimnet.errors import DataError
from cimnet.utils.numbers import pluralize

FilePair = tuple[str, Path | None, Path | None]
"""Name without extension, below the folders given ("flight1/0001"); RGB and thermal file, None: missing."""


@dataclass(frozen=True)
class Matched:
    """Pairs to predict, and the files without a partner."""

    pairs: list[FilePair]
    unmatched: list[Path]


def match_pairs(rgb: Path | None, thermal: Path | None, out: Path | None = None) -> Matched:
    """Pair two files, or the images of two folders, and of the folders in them, by name; extensions may differ.

    One file or folder given twice means 4-channel images (RGB and thermal in one file). None: that sensor is missing.
    What lies in the folder ``out`` is no input.

    Raises:
        DataError: if a path does not exist, one is a file and the other a folder, or no name matches.
    """
    if rgb is None and thermal is None:
        raise DataError("neither --rgb nor --thermal is given; give at least one")
    for path, option in ((rgb, "--rgb"), (thermal, "--thermal")):
        if path is not None and not _exists(path):
            raise DataError(f"{option} {path}: no such file or folder")
    files = [path.is_file() for path in (rgb, thermal) if path is not None]
    if all(files):
        return Matched([((rgb or thermal or Path()).stem, rgb, thermal)], [])
    if any(files):
        raise DataError(f"--rgb {rgb} and --thermal {thermal}: give two files or two folders")
    left = None if rgb is None else _images(rgb, IMAGE_EXTENSIONS, "--rgb", out)
    right = None if thermal is None else _images(thermal, THERMAL_EXTENSIONS, "--thermal", out)
    if left is None or right is None:
        found = left or right or {}
        return Matched(
            [(name, None if left is None else path, None if right is None else path) for name, path in found.items()],
            [],
        )
    pairs: list[FilePair] = [(name, left[name], right[name]) for name in sorted(left.keys() & right.keys())]
    if not pairs:
        raise DataError(
            f"--rgb {rgb} ({pluralize(len(left), 'image')}) and --thermal {thermal} ({len(right)}): no two files share "
            "a name; name both files of a pair alike"
        )
    unmatched = [left[n] for n in sorted(left.keys() - right.keys())] + [
        right[n] for n in sorted(right.keys() - left.keys())
    ]
    return Matched(pairs, unmatched)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # the name is too long
        return False


def _images(folder: Path, extensions: tuple[str, ...], option: str, out: Path | None) -> dict[str, Path]:
    """Images of a folder and of those in it, by their path below it without extension."""
    found: dict[str, Path] = {}
    for inner in [folder, *sorted(path for path in folder.rglob("*") if path.is_dir())]:
        below = inner.relative_to(folder)
        written = out is not None and inner.resolve().is_relative_to(out.resolve())
        if not written and not any(part.startswith(".") for part in below.parts):
            found |= {(below / stem).as_posix(): path for stem, path in index_images(inner, extensions).items()}
    if not found:
        raise DataError(f"{option} {folder}: no images in it")
    return dict(sorted(found.items()))
