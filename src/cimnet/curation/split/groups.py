"""Groups of pairs that a split must keep together, such as the frames of one drive."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from cimnet.data.io.bands import Bands
from cimnet.data.io.name_order import by_number
from cimnet.data.io.open_image import opened, upright
from cimnet.data.io.readers import read_rgb
from cimnet.data.io.split_lists import FLIP, SPLIT_FOLDERS, name_some
from cimnet.data.pairs import Pair
from cimnet.errors import DataError, one_line

NEAR = 0.05
"""Frames in succession are near if their grey thumbnails differ by less than this on average, of 0..1."""
_THUMBNAIL = (32, 24)
_PREFIX = r"(.*[^\W\d_].*?)[\W_]*\d+[A-Za-z]?"  # letters, then a number: flight2_0001, frame0001D
_PATTERNS = ("(.+)/[^/]+", _PREFIX, rf"\d+_{_PREFIX}")  # a folder; what precedes the number; the same after a counter
PLAIN = (
    "the names tell no sequences: every pair is a group of its own, and frames of one drive or flight may come into "
    "different parts; --groups near, a regular expression or a CSV file keeps them together"
)


def find_groups(pairs: Sequence[Pair], how: str = "auto", bands: Bands | None = None) -> tuple[dict[str, str], str]:
    """Group by id, and a note where nothing could be found out ("").

    A mirrored pair (NAME_flip) is always with its original.

    Args:
        how: "auto": by the names, from a folder ("flight 2/0001") or from what precedes the number ("flight2_0001");
            "near": frames in succession, in the order of the names, whose RGB images look alike (see `NEAR`);
            the path of a CSV file with the columns name and group; else a regular expression that matches every name
            and whose first group is the sequence ("(.+)_[0-9]+").
        bands: which bands of the files are the RGB image, for "near".

    Raises:
        DataError: a regular expression that is none, has no group or does not match a name; a file that cannot be read
            or has no group for a name; an image that cannot be read.
    """
    originals: dict[str, Pair] = {}
    for pair in pairs:
        originals.setdefault(pair.id.removesuffix(FLIP), pair)
    names = sorted(originals, key=by_number)
    note = ""
    if how == "near":
        groups = _near(names, [thumbnail(originals[name], bands) for name in names])
    elif how == "auto":
        groups, note = _by_names(names)
    elif how.lower().endswith(".csv"):
        groups = _by_file(names, Path(how))
    else:
        groups = _by_pattern(names, how)
    return {pair.id: groups[pair.id.removesuffix(FLIP)] for pair in pairs}, note


def thumbnail(pair: Pair, bands: Bands | None = None) -> npt.NDArray[np.float32]:
    """The RGB image, grey and very small, 0..1."""
    if bands is not None and bands.colours:
        return _small(Image.fromarray(read_rgb(pair.rgb, bands)))
    with opened(pair.rgb) as image:
        image.draft("RGB", (8 * _THUMBNAIL[0], 8 * _THUMBNAIL[1]))  # JPEG is decoded at an eighth or so
        return _small(upright(image).convert("RGB"))


def _small(picture: Image.Image) -> npt.NDArray[np.float32]:
    grey = picture.convert("L").resize(_THUMBNAIL, Image.Resampling.BOX)
    return np.asarray(grey, np.float32) / np.float32(255)


def _near(names: Sequence[str], thumbnails: Sequence[npt.NDArray[np.float32]]) -> dict[str, str]:
    groups: dict[str, str] = {}
    for position, name in enumerate(names):
        alike = position > 0 and np.abs(thumbnails[position] - thumbnails[position - 1]).mean() < NEAR
        groups[name] = groups[names[position - 1]] if alike else name
    return groups


def _by_names(names: Sequence[str]) -> tuple[dict[str, str], str]:
    """Group by the first pattern that gives several groups, most of them with several names; a name that it does not
    match is a group of its own."""
    for pattern in _PATTERNS:
        found = {name: match[1] for name in names if (match := re.fullmatch(pattern, _without_split(name)))}
        if 2 * len(found) > len(names) and 1 < len(set(found.values())) <= len(found) / 2:
            return {name: found.get(name, name) for name in names}, ""
    return {name: name for name in names}, PLAIN


def _by_pattern(names: Sequence[str], how: str) -> dict[str, str]:
    try:
        pattern = re.compile(how)
    except re.error as error:
        raise DataError(f"groups: {how!r} is not auto, near, a CSV file or a regular expression ({error})") from error
    if not pattern.groups:
        raise DataError(f"groups: {how!r} has no group in brackets for the sequence, as in (.+)_[0-9]+")
    matches = {name: pattern.fullmatch(name) for name in names}
    missed = [name for name, match in matches.items() if match is None or match[1] is None]
    if missed:
        raise DataError(f"groups: {how!r} does not match {name_some(missed)}; write one that matches every name")
    return {name: match[1] for name, match in matches.items() if match is not None}


def _by_file(names: Sequence[str], path: Path) -> dict[str, str]:
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"groups: {path} cannot be read ({one_line(error)}); give a CSV file in UTF-8") from error
    found: dict[str, str] = {}
    for number, row in enumerate(rows, start=2):
        name, group = (row.get("name") or "").strip(), (row.get("group") or "").strip()
        if not name or not group:
            raise DataError(f"groups: {path}, line {number}: needs a name and a group; begin with the line name,group")
        if found.setdefault(name, group) != group:
            raise DataError(f"groups: {path}, line {number}: {name} is in group {found[name]} already; keep one")
    if missed := [name for name in names if name not in found]:
        raise DataError(f"groups: {path} has no line for {name_some(missed)}; add one for every pair")
    return {name: found[name] for name in names}


def _without_split(name: str) -> str:
    """Without the split folder that tells two pairs of one name apart: it is no sequence."""
    folder, _, rest = name.partition("/")
    return rest if folder in SPLIT_FOLDERS else name
