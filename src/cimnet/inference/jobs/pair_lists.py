"""Lists of pairs: a CSV file of paths, or Parquet files that hold the images themselves."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cimnet.data.io.pair_table import read_table
from cimnet.errors import DataError, one_line
from cimnet.inference.jobs.matching import FilePair
from cimnet.inference.jobs.shards import Files, Rows, Shard
from cimnet.utils.extras import require

_LONGEST = 200  # bytes of a file's name, without the ending; file systems take 255, and temporary names are longer
_CSV = "rgb,thermal[,name]"


def read_list(path: Path) -> list[Shard]:
    """Read a list of pairs; the images are not read yet.

    Args:
        path: a ``.csv`` or ``.parquet`` file, or a folder of ``.parquet`` files.

    Raises:
        DataError: there is no such file or no pair in it, a column is missing or of another type, or a name is empty,
            absolute, leads out of the folder or comes twice.
        ConfigError: the list is Parquet, and pyarrow is not installed.
    """
    if not path.exists():
        raise DataError(f"--pairs {path}: no such file or folder")
    if path.is_dir():
        files = sorted(file for file in path.glob("*.parquet") if not file.name.startswith("."))
        if not files:
            raise DataError(f"--pairs {path}: no .parquet files in it; folders of images go to --rgb and --thermal")
        parts = [part for file in files for part in _parquet(file)]
    elif path.suffix.lower() == ".parquet":
        parts = _parquet(path)
    elif path.suffix.lower() == ".csv":
        parts = [Files(tuple(_csv(path)))]
    else:
        raise DataError(f"--pairs {path}: expected a .csv file, a .parquet file, or a folder of .parquet files")
    names = [name for part in parts for name in part.names]
    if not names:
        raise DataError(f"--pairs {path}: no pairs in it")
    check_names(names, str(path))
    return parts


def check_names(names: Iterable[str], where: str) -> None:
    """Refuse names that are no relative path below a folder, or that are one file where upper and lower case are the
    same.

    Raises:
        DataError: naming the first.
    """
    seen: dict[str, str] = {}
    for name in names:
        if reason := _fault(name):
            raise DataError(f"{where}: name {name!r}: {reason}")
        key = unicodedata.normalize("NFC", name).casefold()
        if key in seen:
            other = "there twice" if seen[key] == name else f"also there as {seen[key]!r}, one file on some systems"
            raise DataError(f"{where}: name {name!r}: {other}; give each pair a name of its own (column name)")
        seen[key] = name


def _fault(name: str) -> str | None:
    parts = name.split("/")
    if not name:
        return "empty; give each pair a name"
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "an absolute path; outputs are named by a path below --out, for example flight1/0001"
    if "\\" in name or any(ord(letter) < 32 for letter in name):
        return "a backslash or control character; folders are separated by /"
    if ".." in parts or "." in parts or "" in parts:
        return "the parts '.', '..' and empty ones are not allowed; for example flight1/0001"
    if any(len(part.encode()) > _LONGEST for part in parts):
        return f"longer than {_LONGEST} bytes; shorten it"
    return None


def _csv(path: Path) -> list[FilePair]:
    return [
        (row.name or (row.rgb or row.thermal or Path()).stem, row.rgb, row.thermal) for row in read_table(path, _CSV)
    ]


def _parquet(path: Path) -> list[Shard]:
    parquet = require("pyarrow.parquet", "cluster", "reading Parquet files")
    try:
        with parquet.ParquetFile(path) as file:
            _check_columns(path, file.schema_arrow)
            groups: Sequence[list[str | None]] = [
                file.read_row_group(k, columns=["name"]).column(0).to_pylist() for k in range(file.num_row_groups)
            ]
    except (OSError, ValueError) as error:  # pyarrow's own derive from these
        reason = one_line(error)
        raise DataError(f"{path}: cannot be read as Parquet ({reason}); write it again") from error
    if any(name is None for names in groups for name in names):
        raise DataError(f"{path}: column name: a row without a name; give each pair a name")
    return [Rows(path, k, tuple(map(str, names)), str(path)) for k, names in enumerate(groups) if names]


def _check_columns(path: Path, schema: Any) -> None:
    types = require("pyarrow", "cluster", "reading Parquet files").types
    found = {column.name: column.type for column in schema}
    text, data = (types.is_string, types.is_large_string), (types.is_binary, types.is_large_binary, types.is_null)
    for name, expected, tests in (("name", "string", text), ("rgb", "binary", data), ("thermal", "binary", data)):
        if name not in found:
            raise DataError(f"{path}: no column {name}; expected name (string), rgb and thermal (binary: image files)")
        if not any(test(found[name]) for test in tests):
            raise DataError(f"{path}: column {name}: type {found[name]}, expected {expected}")
