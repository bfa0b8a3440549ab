"""Parts of a large prediction: some pairs of files, or one row group of a Parquet file."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from cimnet.inference.jobs.folders import FilePair, Outcome, predict_each
from cimnet.inference.predictor import Predictor
from cimnet.utils.extras import require

_ROWS = 16  # of a Parquet file, in memory and in temporary files at a time

Batch = tuple[list[FilePair], Mapping[str, str]]
"""Pairs of files, and by which words messages call files that the user gave otherwise."""


class Shard(Protocol):
    """Pairs that one worker works on. Parts are pickled on their way to it."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the pairs."""

    def without(self, done: Collection[str]) -> Shard:
        """The part with fewer pairs."""

    def absolute(self) -> Shard:
        """The part for a process with another working folder; messages stay."""

    def batches(self) -> Iterator[Batch]:
        """The pairs as files, some at a time; they exist until the next ones are asked for."""


@dataclass(frozen=True)
class Files:
    """Pairs of files. ``labels``: what messages call a path, where that is not the path itself."""

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
        """Parts of at most so many pairs."""
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
        parquet, wanted = require("pyarrow.parquet", "cluster", "reading Parquet files"), set(self.names)
        with parquet.ParquetFile(self.file) as file:
            columns = ["name", "rgb", "thermal"]
            for table in file.iter_batches(batch_size=_ROWS, row_groups=[self.group], columns=columns):
                with tempfile.TemporaryDirectory(prefix="cimnet-") as folder:
                    rows = [row for row in table.to_pylist() if row["name"] in wanted]
                    files = [_write(Path(folder), k, row) for k, row in enumerate(rows)]
                    labels = {
                        str(path): f"{self.label}: {name}: {column}"
                        for name, *paths in files
                        for column, path in zip(("rgb", "thermal"), paths, strict=True)
                        if path is not None
                    }
                    yield files, labels


def predict_shard(predictor: Predictor, part: Shard, out: Path) -> Iterator[Outcome]:
    """Write masks and overlays of a part, see :func:`cimnet.inference.jobs.folders.predict_each`. A Parquet file that
    cannot be read on is the failure of the rows that are left."""
    left = dict.fromkeys(part.names)
    batches = part.batches()
    while left:
        try:
            pairs, labels = next(batches)
        except StopIteration:
            reason = "the row is not there any more; was the file written anew?"
        except (OSError, ValueError) as error:  # pyarrow's own derive from these
            reason = f"cannot be read ({' '.join(str(error).split())[:200]}); write the file again"
        else:
            for outcome in predict_each(predictor, pairs, out):
                del left[outcome.name]
                yield outcome if outcome.error is None else replace(outcome, error=_relabel(outcome.error, labels))
            continue
        where = f"{part.label}: row group {part.group}: " if isinstance(part, Rows) else ""
        yield from (Outcome(name, f"{where}{reason}") for name in left)
        return


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


def _relabel(text: str, labels: Mapping[str, str]) -> str:
    for path in sorted(labels, key=len, reverse=True):  # a path may begin with another one
        text = text.replace(path, labels[path])
    return text
