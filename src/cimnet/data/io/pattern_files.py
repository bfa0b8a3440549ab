"""Resolve files that fit several patterns, and files that are paired by time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cimnet.data.io.name_patterns import FileName, NamePattern, find_partners
from cimnet.data.io.notices import notice
from cimnet.data.io.split_lists import name_some
from cimnet.errors import DataError
from cimnet.utils.numbers import pluralize

Found = dict[FileName, Path]
Matches = list[tuple[FileName, Path]]


def settle(root: Path, patterns: Mapping[str, str], files: dict[str, Matches]) -> None:
    """A file that fits the patterns of two kinds belongs to the one that says more of the name: ``x_mask.png`` is a
    label by ``{name}_mask``, though it fits ``{name}``, too. It is taken from the other, with a warning.

    Raises:
        DataError: the patterns say as much of the name.
    """
    kinds = list(patterns)
    for place, one in enumerate(kinds):
        for other in kinds[place + 1 :]:
            theirs = {path for _, path in files[other]}
            shared = [path for _, path in files[one] if path in theirs]
            if shared:
                _give(root, patterns, files, (one, other), shared)


def _give(
    root: Path, patterns: Mapping[str, str], files: dict[str, Matches], kinds: tuple[str, str], shared: list[Path]
) -> None:
    weights = [NamePattern(patterns[kind]).literal for kind in kinds]
    names = name_some([path.relative_to(root).as_posix() for path in shared])
    both = " and ".join(f"{kind}: {patterns[kind]!r}" for kind in kinds)
    said = f"{root}: {names}: the patterns {both} both fit"
    if weights[0] == weights[1]:
        raise DataError(f"{said}; say more of the names in one of them (`files:` in classes.yaml)")
    owner, loser = kinds if weights[0] > weights[1] else kinds[::-1]
    gone = set(shared)
    files[loser] = [(name, path) for name, path in files[loser] if path not in gone]
    notice(f"{said}; taken for {owner} alone, whose pattern says more")


def in_time(root: Path, files: Mapping[str, Found], max_gap: float | None) -> dict[str, Found]:
    """Thermal images and labels under the names of the RGB images that are their partners in time. What has no partner
    is left out, with a warning.

    Raises:
        DataError: a name without a time fits several RGB files.
    """
    result = {"rgb": dict(files["rgb"])}
    for kind, found in files.items():
        if kind != "rgb":
            partners = find_partners(files["rgb"], found, max_gap)
            result[kind] = {partners[name]: path for name, path in found.items() if name in partners}
            _say_lost(root, kind, [path for name, path in found.items() if name not in partners], max_gap)
    if "thermal" in result:
        lost = [name for name in result["rgb"] if name not in result["thermal"]]
        _say_lost(root, "RGB", [result["rgb"].pop(name) for name in lost], max_gap)
    return result


def _say_lost(root: Path, kind: str, lost: list[Path], max_gap: float | None) -> None:
    if lost:
        limit = "within the usual interval (files: max_gap)" if max_gap is None else f"within {max_gap:g} s"
        names = name_some([path.relative_to(root).as_posix() for path in lost])
        count = pluralize(len(lost), f"{kind.removesuffix('s')} image")
        notice(f"{root}: {count} without a partner in time {limit}, left out: {names}")
