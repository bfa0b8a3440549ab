"""CSV tables that people write: the first line names the columns, errors name the row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from cimnet.errors import DataError
from cimnet.utils.numbers import pluralize


class CsvTable:
    """A CSV file in UTF-8. Empty lines are left out, and cells lose the spaces around them.

    Attributes:
        header: names of the columns, in lower case.

    Raises:
        DataError: not CSV.
    """

    def __init__(self, path: Path) -> None:
        try:
            text = path.read_bytes().decode("utf-8-sig")
            lines = [
                (number, row) for number, row in enumerate(csv.reader(io.StringIO(text, newline="")), 1) if any(row)
            ]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path}: cannot be read as CSV in UTF-8 ({error}); save it as CSV UTF-8") from error
        self.path = path
        self._first = lines[0][1] if lines else []
        self._lines = lines[1:]
        self.header = [cell.strip().lower() for cell in self._first]

    def require(self, complete: bool, expected: str) -> None:
        """Refuse a first line that is not `complete`, or names a column twice.

        Args:
            expected: the columns, for the message.

        Raises:
            DataError: naming what was found.
        """
        if not complete or len(set(self.header)) < len(self.header):
            found = ",".join(self._first)[:120] if self._first else "nothing"
            raise DataError(
                f"{self.path}: first line: found {found!r}; expected the columns {expected}, with commas between"
            )

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Number in the file, from 1, and cells by column of each row.

        Raises:
            DataError: a row of another length than the first line.
        """
        for number, row in self._lines:
            if len(row) != len(self.header):
                raise DataError(
                    f"{self.path}: row {number}: {pluralize(len(row), 'cell')} where the first line has "
                    f"{len(self.header)}; correct the row"
                )
            yield number, dict(zip(self.header, map(str.strip, row), strict=True))
