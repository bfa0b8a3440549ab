"""The place of each pair in another layout: its split and its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from cimnet.curation.convert.targets import PANOPTIC, Target
from cimnet.curation.convert.writers import Destination
from cimnet.data.io.patterns import FilePattern
from cimnet.data.io.split_lists import SPLIT_FOLDERS, name_some
from cimnet.errors import DataError


def place_pairs(
    ids: Sequence[str], splits: Mapping[str, list[str]], target: Target, source: Path
) -> dict[str, Destination]:
    """The place of each pair. Where a layout keeps pairs in folders by split, its first split counts: train, val, test.

    Args:
        ids: of the pairs, as the source has them.
        splits: ids by the target's splits.

    Raises:
        DataError: a pair of no split that the layout has a folder for, or names that the layout cannot tell apart.
    """
    homes = _homes(ids, splits, target, source) if target.in_folders else dict.fromkeys(ids, "")
    form = target.form
    names = {name: _file_name(name, homes[name], form, source) for name in ids}
    _require_different(names, homes, target, source)
    uses = Counter(names.values())
    places = {}
    for name, file_name in names.items():
        goes_by = f"{file_name}_0" if "{frame}" in form.rgb and "_" not in file_name else file_name
        if uses[file_name] > 1:
            goes_by = f"{homes[name]}/{goes_by}"
        places[name] = Destination(file_name, homes[name], goes_by)
    return places


def _homes(ids: Sequence[str], splits: Mapping[str, list[str]], target: Target, source: Path) -> dict[str, str]:
    order = [split for split in SPLIT_FOLDERS if split in splits]
    if target.name == PANOPTIC:
        order += [split for split in splits if split not in order]
    homes: dict[str, str] = {}
    for split in order:
        for name in splits[split]:
            homes.setdefault(name, split)
    homeless = [name for name in ids if name not in homes]
    if homeless:
        folders = "any name" if target.name == PANOPTIC else ", ".join(SPLIT_FOLDERS)
        other = next((split for split in splits if homeless[0] in splits[split]), "all")
        raise DataError(
            f"{source}: {name_some(homeless)} of {other if other != 'all' else 'no split'}, and {target.name} keeps "
            f"pairs by split ({folders}); say where they go (splits), such as by --split train --split {other}=train"
        )
    return homes


def _file_name(name: str, home: str, form: FilePattern, source: Path) -> str:
    """The name in file names: without folders where the layout has none, and without the split that its folder says."""
    if "{split}" in form.rgb:
        name = name.removeprefix(f"{home}/")
    if not form.nested:
        name = name.replace("/", "_")
    before, _, frame = name.rpartition("_")
    if "{frame}" in form.rgb and "_" in name and not (before and frame):
        raise DataError(f"{source}: {name}: a name that begins or ends with '_' has no TRIP_NUMBER in it; rename it")
    return name


def _require_different(names: Mapping[str, str], homes: Mapping[str, str], target: Target, source: Path) -> None:
    taken: dict[tuple[str, str], str] = {}
    for name, file_name in names.items():
        key = (homes[name] if "{split}" in target.form.rgb else "", file_name)
        if key in taken:
            raise DataError(f"{source}: {taken[key]} and {name} would both be {file_name} in {target.name}; rename one")
        taken[key] = name
