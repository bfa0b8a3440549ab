"""The table that leads from a tool's file names back to the pairs of a data set."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from cimnet.errors import DataError
from cimnet.utils.files import csv_text

TABLE = "names.csv"
_COLUMNS = ("file", "pair", "uncertainty")


@dataclass(frozen=True)
class Named:
    """One pair: the file name that the tool sees (without extension), the pair's id, how uncertain the model was."""

    file: str
    pair: str
    uncertainty: float | None


def name_files(pairs: list[tuple[str, float | None]]) -> list[Named]:
    """File names that sort in the order given, whichever way a tool sorts: ``0001_ID``, folders and blanks as "_"."""
    digits = max(4, len(str(len(pairs))))
    return [
        Named(f"{number:0{digits}d}_{re.sub(r'[^A-Za-z0-9-]+', '_', pair)}", pair, uncertainty)
        for number, (pair, uncertainty) in enumerate(pairs, start=1)
    ]


def write_table(named: list[Named]) -> str:
    """The table as CSV."""
    return csv_text(
        _COLUMNS, ((n.file, n.pair, "" if n.uncertainty is None else f"{n.uncertainty:.4f}") for n in named)
    )


def read_table(path: Path) -> dict[str, str]:
    """Pair by file name.

    Raises:
        DataError: not such a table, or a file in it twice.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error}); give the names.csv that the export wrote") from error
    if not rows or not {"file", "pair"} <= set(rows[0]):
        raise DataError(f"{path}: expected a line for each pair and the columns file,pair; give the export's names.csv")
    found: dict[str, str] = {}
    for row in rows:
        if row["file"] in found:
            raise DataError(f"{path}: the file {row['file']!r} is listed twice")
        found[row["file"]] = row["pair"]
    return found
