"""Lists of pairs: CSV files that name the images of each pair."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cimnet.data.io.csv_table import CsvTable
from cimnet.data.io.patterns import FileIndex, FilesOfKind
from cimnet.data.io.split_lists import ALL, find_list, name_some, read_names
from cimnet.errors import DataError

TABLE = "pairs.csv"
"""The list of a data set, in its folder."""
COLUMNS = "rgb,thermal[,label][,split][,name]"


@dataclass(frozen=True)
class Row:
    """A pair as a list names it; paths None and texts "" where the cell is empty or the column is not there."""

    number: int
    rgb: Path | None
    thermal: Path | None
    label: Path | None
    split: str
    name: str


def read_table(path: Path, columns: str = COLUMNS) -> list[Row]:
    """The pairs of a CSV file in UTF-8 with a first line of column names: `rgb` and `thermal`, and optionally `label`,
    `split` and `name`; others are ignored. Paths are relative to the file. Images are not read.

    Args:
        columns: as errors name them.

    Raises:
        DataError: not CSV, columns that are missing or there twice, or a row of another length.
    """
    table = CsvTable(path)
    table.require({"rgb", "thermal"} <= set(table.header), columns)
    return [_row(path, number, cells) for number, cells in table.rows()]


def _row(path: Path, number: int, cells: Mapping[str, str]) -> Row:
    rgb, thermal, label = (path.parent / c if (c := cells.get(kind)) else None for kind in ("rgb", "thermal", "label"))
    return Row(number, rgb, thermal, label, cells.get("split", ""), cells.get("name", ""))


def find_table(root: Path) -> Path | None:
    """The list of pairs of a data set folder; None where there is none."""
    path = root / TABLE
    return path if path.is_file() else None


def index_table(path: Path) -> FileIndex:
    """List the files that a table of pairs names. A pair's name is its column `name`, otherwise the path of its RGB
    image without extension; a thermal path equal to the RGB path means a 4-channel file.

    Raises:
        DataError: see `read_table`; a row without an RGB or thermal image, files that are not there, a split called
            "all", or a name that is there twice.
    """
    rows = read_table(path)
    if not rows:
        raise DataError(f"{path}: no pairs in it; write one a row, below {COLUMNS}")
    files: dict[str, dict[str, Path]] = {"rgb": {}, "thermal": {}, "label": {}}
    splits: dict[str, list[str]] = {}
    for row in rows:
        name = _name(path, row)
        if name in files["rgb"]:
            raise DataError(f"{path}: row {row.number}: the name {name!r} is there twice; give names (column name)")
        for kind, file in (("rgb", row.rgb), ("thermal", row.thermal), ("label", row.label)):
            if file is not None:
                files[kind][name] = file
        if row.split == ALL:
            raise DataError(f"{path}: row {row.number}: no split may be called {ALL!r}: that is every pair")
        if row.split:
            splits.setdefault(row.split, []).append(name)
    missing = [file for found in files.values() for file in found.values() if not file.is_file()]
    if missing:
        raise DataError(f"{path}: no such file: {name_some(missing)}; correct the list or restore the files")
    rgb, thermal, labels = (FilesOfKind(str(path), files[kind]) for kind in ("rgb", "thermal", "label"))
    return FileIndex(rgb, thermal, labels, splits)


def require_agreement(path: Path, split: str, index: FileIndex) -> None:
    """Refuse a split's list, which comes before the column `split` of a table, if it holds pairs of another split.

    Raises:
        DataError: naming both files and the pairs.
    """
    listed = find_list(path.parent, split)
    if listed is None or split not in index.folders:
        return
    split_of = {name: other for other, names in index.folders.items() for name in names}
    strange = [name for name in map(index.resolve, read_names(listed)) if split_of.get(name, split) != split]
    if strange:
        raise DataError(
            f"{listed}: names {name_some(strange)}, which {path.name} puts into another split "
            f"({split_of[strange[0]]}); remove the list, or correct the column split of {path.name}"
        )


def _name(path: Path, row: Row) -> str:
    for kind, file in (("RGB", row.rgb), ("thermal", row.thermal)):
        if file is None:
            raise DataError(f"{path}: row {row.number}: no {kind} image; a pair of a data set needs both")
    assert row.rgb is not None
    inside = row.rgb.is_relative_to(path.parent) and ".." not in row.rgb.parts
    name = row.name or (row.rgb.relative_to(path.parent).with_suffix("").as_posix() if inside else row.rgb.stem)
    return unicodedata.normalize("NFC", name)  # as names in lists are read
