"""Write files so that a reader never sees half of one."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from cimnet.errors import CimnetError, ConfigError, one_line
from cimnet.utils.locks import LOCK, OutputLock
from cimnet.utils.signals import exit_on_sigterm


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
        reason = one_line(error)
        raise CimnetError(f"{path}: cannot be written ({reason}); choose another folder or free space") from error
    finally:
        if temporary.exists():
            temporary.unlink()


def _create(path: Path) -> None:
    """Make an empty file. An existing file of that name is removed: a killed process left it, or it is a link to
    somewhere else."""
    path.unlink(missing_ok=True)
    path.touch(exist_ok=False)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically; of file names that are not UTF-8, bytes become ``\\udcff`` and the like."""
    write_atomically(path, lambda p: p.write_text(text, encoding="utf-8", errors="backslashreplace"))


def is_there(path: Path) -> bool:
    """Whether a path exists; False where its name is longer than the system allows, for which `Path.exists` raises."""
    try:
        return path.exists()
    except OSError:
        return False


def csv_text(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table as CSV with a header, lines ended by LF."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def resolved(path: Path) -> Path:
    """The path without links. One that runs in a circle stays, where Python before 3.13 has an error of its own."""
    return Path(os.path.realpath(path))


def drop_link(path: Path) -> None:
    """Remove a link that somebody put where a temporary file or folder will be; its target stays as it is."""
    if path.is_symlink():
        path.unlink()


def refuse_inputs_as_outputs(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Refuse to write a file or folder that is also an input, under whatever name: another path, a link, a mount. Two
    outputs of one name are refused, too: the second would replace the first.

    Raises:
        ConfigError: naming the output.
    """
    places: dict[Path, Path] = {}
    for path in outputs:
        place = resolved(path)
        if place in places:
            raise ConfigError(f"{path}: is asked for as two outputs; give each a name of its own")
        places[place] = path
    written = {mark: path for path in places.values() if path.exists() for mark in _identity(path)}
    if not written:  # nothing is there that could be lost
        return
    for path in inputs:
        for mark in _identity(path):
            if mark in written:
                raise ConfigError(f"{written[mark]}: is also an input ({path}); choose another name for the output")


def _identity(path: Path) -> list[object]:
    try:
        state = path.stat()
        return [resolved(path), (state.st_dev, state.st_ino)]
    except (OSError, ValueError):  # not there, or no name of a file
        return []


def require_new_folder(path: Path, remedy: str) -> None:
    """Refuse a path that is a file or a folder with something in it, or that could not be written. Creates nothing.

    Raises:
        CimnetError: naming the folder and ``remedy``.
    """
    require_empty(path, remedy)
    require_writable(path)


def require_empty(path: Path, remedy: str) -> None:
    """Refuse a path that is a file or a folder with something in it; lock files, what `hidden_folder` makes in it, and
    the `lost+found` of a disk that is mounted there do not count.

    Raises:
        CimnetError: naming the folder and ``remedy``.
    """
    with _as_cimnet_error(path):
        hidden = _part_of(resolved(path).name, r"(\.\d+)?")
        passed = {LOCK, "lost+found"} if os.path.ismount(path) else {LOCK}
        if path.exists() and not path.is_dir():
            raise CimnetError(f"{path}: is a file, not a folder; choose another")
        if path.is_dir() and any(e.name not in passed and not hidden.fullmatch(e.name) for e in path.iterdir()):
            raise CimnetError(f"{path}: exists and is not empty; {remedy}")


def require_writable_file(path: Path) -> None:
    """Refuse an output file whose name is a folder, or whose folder cannot be written. Creates nothing.

    Raises:
        CimnetError: naming the path.
    """
    with _as_cimnet_error(path):
        if path.is_dir():
            raise CimnetError(f"{path}: is a folder; give the name of a file")
    require_writable(path.parent)


def require_writable(path: Path, named: Path | None = None) -> None:
    """Check that a file can be written in the folder, or in the nearest parent that exists. Nothing is left behind.

    Args:
        named: what the error names. None: the folder.

    Raises:
        CimnetError: if that fails.
    """
    folder = path.absolute()
    with _as_cimnet_error(named or path):
        while not _is_there(folder):
            folder = folder.parent
        probe = folder / f".write-test.{os.getpid()}"
        _create(probe)
        probe.unlink()


def _is_there(path: Path) -> bool:
    """Whether a path is a file, a folder, or a link to anything or nothing.

    Raises:
        OSError: the system cannot tell: a name that is too long, or links in a circle above it.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def require_apart(out: Path, *inputs: Path) -> None:
    """Refuse an output folder that is an input folder or lies inside one.

    Raises:
        CimnetError: naming both.
    """
    with _as_cimnet_error(out):
        place = resolved(out)
        for folder in inputs:
            if resolved(folder) in (place, *place.parents):
                where = "is" if resolved(folder) == place else "lies inside"
                raise CimnetError(f"{out}: {where} the input folder {folder}; give an output folder elsewhere")


def require_stageable(out: Path, remedy: str = "choose a new folder") -> tuple[Path, bool]:
    """Refuse what `staged_folder` would refuse, before work that does not need the folder yet. Creates nothing.

    Returns:
        The folder, links followed, and whether the hidden folder has to lie inside it.

    Raises:
        CimnetError: naming the folder and ``remedy``.
    """
    require_empty(out, remedy)
    with _as_cimnet_error(out):
        target = resolved(out)
        if target.is_symlink():
            raise OSError(errno.ELOOP, "links in a circle")
        inside = target.exists() and not _replaceable(target)
    require_writable(target if inside else target.parent, out)
    return target, inside


@contextmanager
def staged_folder(out: Path, remedy: str = "choose a new folder") -> Iterator[Path]:
    """A hidden folder to write into, which gets the name ``out`` at the end, all at once; after an error, Ctrl-C or
    SIGTERM nothing is left. The next process removes what a killed one left.

    The hidden folder lies where `require_stageable` says: beside ``out`` (beside its target, if ``out`` is a link), or
    inside an ``out`` that cannot be replaced: a mount point, the current folder, or one whose parent may not be
    written. What it holds then moves up at the end. One process at a time may write ``out``.

    Raises:
        CimnetError: ``out`` is a file, is not empty, cannot be written, or another process writes it. All of these that
            can be known before the work are raised before it.
    """
    target, inside = require_stageable(out, remedy)
    with hidden_folder(target, inside=inside, named=out) as part:
        try:
            require_empty(target, remedy)  # once more: another process may have filled it before this one had the lock
            yield part
            publish_folder(part, target, inside)
        except CimnetError as error:  # of what is written into the hidden folder: the user knows it by its coming name
            error.args = (str(error).replace(str(part), str(out)), *error.args[1:])
            raise


@contextmanager
def hidden_folder(
    target: Path, *, inside: bool = False, named: Path | None = None, keep: Callable[[Path], bool] | None = None
) -> Iterator[Path]:
    """``.NAME.PID.part`` to prepare the file or folder ``target`` in, removed at the end, also after an error, Ctrl-C
    or SIGTERM. Only this process works on ``target`` meanwhile. What killed processes left is removed at the start.

    Args:
        inside: it lies in the folder ``target`` instead of beside it.
        named: what errors name. None: ``target``.
        keep: called after an error with the folder, tells whether it stays for the next call. It is then named
            ``.NAME.part``, and what is there already stays at the start.

    Raises:
        CimnetError: another process writes ``target``, or an OSError came up in the block or before it.
    """
    lock = OutputLock(target) if inside else OutputLock.beside(target)
    place = target if inside else target.parent
    part = place / (f".{target.name}.{os.getpid()}.part" if keep is None else f".{target.name}.part")
    with exit_on_sigterm(), lock:
        kept = False
        try:
            for folder in {place, target} if target.is_dir() else {place}:
                _remove_leftovers(folder, target.name)  # nobody else has the lock, so nobody uses them
            drop_link(part)
            part.mkdir(exist_ok=keep is not None)
            yield part
        except BaseException as error:
            kept = keep is not None and keep(part)
            if isinstance(error, OSError):
                raise CimnetError(
                    f"{named or target}: cannot be written ({one_line(error)}); choose another folder or free space"
                ) from error
            raise
        finally:
            if not kept:
                shutil.rmtree(part, ignore_errors=True)


def publish_folder(part: Path, target: Path, inside: bool) -> None:
    """Give a finished folder its name; ``inside`` a ``target`` that cannot be replaced, move up what it holds."""
    if inside:
        _move_up(part, target)
        return
    if target.exists():
        (target / LOCK).unlink(missing_ok=True)  # of a process that was killed
        target.rmdir()
    part.replace(target)


def _part_of(name: str, pid: str = r"\.\d+") -> re.Pattern[str]:
    return re.compile(rf"\.{re.escape(name)}{pid}\.part")


def _remove_leftovers(folder: Path, name: str) -> None:
    for entry in folder.iterdir():
        if _part_of(name).fullmatch(entry.name):
            drop_link(entry)
            shutil.rmtree(entry, ignore_errors=True)


def _replaceable(folder: Path) -> bool:
    """Whether an empty folder can make room for another of its name."""
    return folder != Path.cwd() and not os.path.ismount(folder) and os.access(folder.parent, os.W_OK)


def _move_up(part: Path, target: Path) -> None:
    """Rename all entries into the folder above, or none."""
    moved: list[Path] = []
    try:
        for entry in sorted(part.iterdir()):
            moved.append(entry.rename(target / entry.name))
    except BaseException:
        for entry in moved:
            entry.rename(part / entry.name)
        raise


@contextmanager
def _as_cimnet_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # also of a name that is too long
        raise CimnetError(f"{path}: cannot be written ({one_line(error)}); choose another folder") from error
