"""Parts of a large prediction: some pairs of files, or one row group of a Parquet file."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from cimnet.errors import DataError, one_line
from cimnet.inference.jobs.matching import FilePair
from cimnet.utils.extras import require

_ROWS = 16  # of a Parquet file, in memory and in temporary files at a time

Batch = tuple[list[FilePair], Mapping[str, str]]
"""Pairs of files, and by which words messages call files that the user gave otherwise."""


class Shard(Protocol):
    """Pairs that one worker works on. Parts are pickled on their way to it."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the pairs."""

    def without(self, done: Collection[str]) -> Shard:
        """The part with fewer pairs."""

    def absolute(self) -> Shard:
        """The part for a process with another working folder; messages stay."""

    def batches(self) -> Iterator[Batch]:
        """The pairs as files, some at a time; they exist until the next ones are asked for.

        Raises:
            DataError: what is left cannot be read.
        """


@dataclass(frozen=True)
class Files:
    """Pairs of files.

    Attributes:
        pairs: the files of each pair.
        labels: what messages call a path, if not the path itself.
    """

    pairs: tuple[FilePair, ...]
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _, _ in self.pairs)

    def without(self, done: Collection[str]) -> Files:
        return replace(self, pairs=tuple(pair for pair in self.pairs if pair[0] not in done))

    def absolute(self) -> Files:
        pairs: list[FilePair] = []
        labels = dict(self.labels)
        for name, rgb, thermal in self.pairs:
            pairs.append((name, rgb and rgb.absolute(), thermal and thermal.absolute()))
            labels |= {str(path.absolute()): str(path) for path in (rgb, thermal) if path and not path.is_absolute()}
        return Files(tuple(pairs), labels)

    def cut(self, count: int) -> list[Files]:
        """Parts of at most this many pairs."""
        return [replace(self, pairs=self.pairs[k : k + count]) for k in range(0, len(self.pairs), count)]

    def batches(self) -> Iterator[Batch]:
        yield list(self.pairs), self.labels


@dataclass(frozen=True)
class Rows:
    """Rows of one row group of a Parquet file with the columns name, rgb, thermal. ``label``: the file in messages."""

    file: Path
    group: int
    names: tuple[str, ...]
    label: str

    def without(self, done: Collection[str]) -> Rows:
        return replace(self, names=tuple(name for name in self.names if name not in done))

    def absolute(self) -> Rows:
        return replace(self, file=self.file.absolute())

    def batches(self) -> Iterator[Batch]:
        for rows in self._rows():
            with tempfile.TemporaryDirectory(prefix="cimnet-") as folder:
                try:
                    files = [_write(Path(folder), k, row) for k, row in enumerate(rows)]
                except OSError as error:
                    raise DataError(
                        f"{self._where}: cannot be unpacked into {folder} ({error.strerror}); free space, or set TMPDIR"
                    ) from error
                labels = {
                    str(path): f"{self.label}: {name}: {column}"
                    for name, *paths in files
                    for column, path in zip(("rgb", "thermal"), paths, strict=True)
                    if path is not None
                }
                yield files, labels

    def _rows(self) -> Iterator[list[dict[str, Any]]]:
        parquet, wanted = require("pyarrow.parquet", "cluster", "reading Parquet files"), set(self.names)
        columns = ["name", "rgb", "thermal"]
        try:
            with parquet.ParquetFile(self.file) as file:
                for table in file.iter_batches(batch_size=_ROWS, row_groups=[self.group], columns=columns):
                    rows = [row for row in table.to_pylist() if row["name"] in wanted]
                    wanted -= {row["name"] for row in rows}
                    yield rows
        except (OSError, ValueError) as error:  # pyarrow's own derive from these
            reason = one_line(error)
            raise DataError(f"{self._where}: cannot be read ({reason}); write the file again") from error
        if wanted:
            raise DataError(f"{self._where}: the row is not there any more; was the file rewritten?")

    @property
    def _where(self) -> str:
        return f"{self.label}: row group {self.group}"


def _write(folder: Path, number: int, row: Mapping[str, Any]) -> FilePair:
    """Bytes as files; the same bytes in both columns are one 4-channel file."""
    paths: list[Path | None] = []
    for column in ("rgb", "thermal"):
        data = row[column]
        path = None if data is None else folder / f"{number}-{column}{_suffix(data)}"
        if path is not None and column == "thermal" and data == row["rgb"]:
            path = paths[0]
        elif path is not None:
            path.write_bytes(data)
        paths.append(path)
    return row["name"], paths[0], paths[1]


def _suffix(data: bytes) -> str:
    """The two endings that readers go by; other images are known by their content."""
    return ".npy" if data.startswith(b"\x93NUMPY") else ".jpg" if data.startswith(b"\xff\xd8") else ".png"


def relabel(text: str, labels: Mapping[str, str]) -> str:
    """A message in the user's words, see `Batch`."""
    for path in sorted(labels, key=len, reverse=True):  # a path may begin with another one
        text = text.replace(path, labels[path])
    return text
