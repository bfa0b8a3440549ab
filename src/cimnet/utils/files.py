"""Write files so that a reader never sees half of one."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from cimnet.errors import CimnetError


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call ``write`` with a temporary name beside ``path``, then rename. Nothing is left behind on failure.

    Raises:
        CimnetError: if the folder cannot be written or the disk is full.
    """
    stem = path.stem if len(os.fsencode(path.name)) < 200 else hashlib.sha1(os.fsencode(path.name)).hexdigest()
    temporary = path.with_name(f".{stem}.{os.getpid()}.part{path.suffix[:20]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _create(temporary)  # with the user's permissions; safetensors alone would make the file private
        write(temporary)
        temporary.replace(path)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors have their own for a full disk
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())[:200]
        raise CimnetError(f"{path}: cannot be written ({reason}); choose another folder or free space") from error
    finally:
        if temporary.exists():
            temporary.unlink()


def _create(path: Path) -> None:
    """Make an empty file. What has that name goes: left by a process that was killed, or a link to somewhere else."""
    path.unlink(missing_ok=True)
    path.touch(exist_ok=False)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically; of file names that are not UTF-8, bytes become ``\\udcff`` and the like."""
    write_atomically(path, lambda p: p.write_text(text, encoding="utf-8", errors="backslashreplace"))


def csv_text(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table as CSV with a header, lines ended by LF."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def require_new_folder(path: Path, remedy: str) -> None:
    """Refuse a path that is a file or a folder with something in it, or that could not be written. Creates nothing.

    Raises:
        CimnetError: naming the folder and ``remedy``.
    """
    with _told(path):
        if path.exists() and not path.is_dir():
            raise CimnetError(f"{path}: is a file, not a folder; choose another")
        if path.is_dir() and any(path.iterdir()):
            raise CimnetError(f"{path}: exists and is not empty; {remedy}")
    require_writable(path)


def require_writable_file(path: Path) -> None:
    """Refuse the name of a file to come that is a folder, or whose folder could not be written. Creates nothing.

    Raises:
        CimnetError: naming the path.
    """
    with _told(path):
        if path.is_dir():
            raise CimnetError(f"{path}: is a folder; give the name of a file")
    require_writable(path.parent)


def require_writable(path: Path) -> None:
    """Try a file in the folder, or in the nearest one above that exists. Nothing stays.

    Raises:
        CimnetError: if that fails.
    """
    folder = path.absolute()
    with _told(path):
        while not folder.exists():
            folder = folder.parent
        probe = folder / f".write-test.{os.getpid()}"
        _create(probe)
        probe.unlink()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # also of a name that is too long
        raise CimnetError(f"{path}: cannot be written ({error.strerror or error}); choose another folder") from error
