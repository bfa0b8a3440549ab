"""Lists of pairs with a flag: a broken sensor, weak alignment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cimnet.data.io.readers import read_rgb
from cimnet.data.io.split_lists import find_list
from cimnet.errors import DataError

if TYPE_CHECKING:
    from cimnet.data.io.bands import Bands
    from cimnet.data.io.patterns import FileIndex
    from cimnet.data.pairs import Pair

FLAG_LISTS = {"rgb_broken": "broke_RGB", "thermal_broken": "broke_TIR", "weakly_aligned": "weakly_aligned"}
"""Names of the lists (NAME.txt) that hold the pairs with a flag."""
BROKEN_FLAGS = frozenset({"rgb_broken", "thermal_broken", "broken"})


def broken_flags(choice: str) -> frozenset[str]:
    """The flags by which ``broken`` ("keep", "drop", "only", "rgb", "thermal") chooses pairs."""
    if choice == "keep":
        return frozenset()
    return BROKEN_FLAGS if choice in ("only", "drop") else frozenset({f"{choice}_broken", "broken"})


def read_flags(root: Path, index: FileIndex, broken: str = "keep") -> tuple[dict[str, set[str]], bool]:
    """Flags by name, and whether the folder has any list of broken pairs.

    A name in a broken_in_*.txt (Kust4K's lists, which do not say which sensor) is flagged "broken" unless another
    list says more; `name_sensor` finds out.

    Args:
        broken: how pairs are chosen by the lists of broken ones: those that serve must name some pair of `index`.

    Raises:
        DataError: see `FileIndex.read_lists`.
    """
    flags: dict[str, set[str]] = {}
    found = {flag: [path] for flag, name in FLAG_LISTS.items() if (path := find_list(root, name)) is not None}
    if either := sorted(path for folder in (root, root / "splits") for path in folder.glob("broken_in_*.txt")):
        found["broken"] = either
    used = broken_flags(broken)
    index.read_lists(*(path for flag, paths in found.items() if flag in used for path in paths), needed=True)
    for flag, paths in found.items():
        for name in index.read_lists(*paths):
            if flag != "broken" or BROKEN_FLAGS.isdisjoint(flags.get(name, ())):
                flags.setdefault(name, set()).add(flag)
    return flags, not BROKEN_FLAGS.isdisjoint(found)


def name_sensor(pair: Pair, bands: Bands | None = None) -> Pair:
    """Say which sensor of a pair flagged "broken" failed: RGB if its image, of these bands, is black, else thermal.

    Those are the two failures that Kust4K's authors made (paper, IV-B): RGB set to 0, or thermal blurred.
    """
    if "broken" not in pair.flags:
        return pair
    try:
        black = int(read_rgb(pair.rgb, bands).max()) == 0
    except DataError:  # reading it says so again, where it is asked for
        black = False
    sensor = "rgb_broken" if black else "thermal_broken"
    return replace(pair, flags=pair.flags - {"broken"} | {sensor})
