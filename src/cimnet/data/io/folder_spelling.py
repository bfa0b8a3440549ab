"""Find the folders of patterns with exact spelling, and report those with another spelling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cimnet.data.io.name_patterns import NamePattern
from cimnet.data.io.split_lists import SPLIT_FOLDERS, folder_names


def exact_folder(root: Path, relative: str) -> Path | None:
    """root/relative if it is a folder spelt exactly so, also where the file system ignores case."""
    folder = root
    for part in relative.split("/") if relative else []:
        if not folder.is_dir() or part not in folder_names(folder):
            return None
        folder = folder / part
    return folder if folder.is_dir() else None


def case_hint(root: Path, forms: Sequence[Mapping[str, str]]) -> str:
    """Name the folders that exist under another spelling, for the form (patterns by kind) that fits best; ""
    if there are none."""
    found = []
    for form in forms:
        rgb, labels = _renames(root, form["rgb"]), _renames(root, form["labels"])
        thermal = _renames(root, form["thermal"]) if "thermal" in form else rgb
        if rgb is not None and thermal is not None and (wrong := {**rgb, **thermal, **(labels or {})}):
            found.append((labels is None, len(wrong), wrong))
    if not found:
        return ""
    best = min(found, key=lambda entry: entry[:2])[2]
    return f" ({'; '.join(f'found {there}/: rename it to {name}/' for there, name in best.items())})"


def _renames(root: Path, pattern: str) -> dict[str, str] | None:
    """Folders of a pattern that are spelt otherwise, with their right names; None where none of them is there."""
    static = NamePattern(pattern).folder
    splits = SPLIT_FOLDERS if "{split}" in static else ("",)
    found = [
        spelling for split in splits if (spelling := _spelling(root, static.replace("{split}", split))) is not None
    ]
    return {there: name for spelling in found for there, name in spelling.items()} if found else None


def _spelling(root: Path, relative: str) -> dict[str, str] | None:
    """Folders of a path below root that are spelt otherwise, with their right names; None where one is not there."""
    wrong: dict[str, str] = {}
    there = ""
    for part in relative.split("/") if relative else []:
        names = folder_names(root / there)
        name = part if part in names else next((n for n in sorted(names) if n.lower() == part.lower()), None)
        if name is None:
            return None
        there = f"{there}/{name}".lstrip("/")
        if name != part:
            wrong[there] = part
    return wrong
