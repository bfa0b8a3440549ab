"""One process at a time works on an output. The operating system holds the lock and releases it, however the process
ends."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from cimnet.errors import CimnetError, one_line

LOCK = ".lock"
"""The lock file of a folder."""


class OutputLock:
    """Keeps other processes away from an output, as a context or from `acquire` to `release`.

    Args:
        target: the output, named in errors.
        file: the lock file; None: ``.lock`` in the folder `target`. It is removed again, with folders that were made
            for it.
        doing: what the other process does, for the error.
        remedy: what the user can do.
    """

    def __init__(
        self,
        target: Path,
        file: Path | None = None,
        doing: str = "writes to it",
        remedy: str = "wait for it, or choose another --out",
    ) -> None:
        self.target, self.doing, self.remedy = target, doing, remedy
        self.file = (target / LOCK if file is None else file).absolute()
        self._lock = FileLock(self.file, thread_local=False)
        self._made: list[Path] = []

    @classmethod
    def beside(
        cls, target: Path, doing: str = "writes it", remedy: str = "wait for it, or choose another name"
    ) -> OutputLock:
        """Make a lock for an output that is a file, or a folder that does not exist yet: ``.NAME.lock`` beside it."""
        return cls(target, target.with_name(f".{target.name}.lock"), doing, remedy)

    def acquire(self) -> None:
        """Take the lock, or refuse at once.

        Raises:
            CimnetError: another process has it, or there cannot be a lock file.
        """
        self._made = [folder for folder in self.file.parents if not folder.exists()]
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise CimnetError(f"{self.target}: another process {self.doing}; {self.remedy}") from error
        except (OSError, NotImplementedError) as error:  # the latter: a file system without locks
            self._clean()
            raise CimnetError(f"{self.target}: cannot be written ({one_line(error)}); choose another folder") from error

    def release(self) -> None:
        """Release the lock and remove its file. Without the lock nothing happens."""
        if not self._lock.is_locked:
            return
        if os.name != "nt":  # who has opened it before this gets no lock on it: filelock sees that it is gone
            self.file.unlink(missing_ok=True)
        self._lock.release()
        if os.name == "nt":  # an open file cannot be removed there
            with suppress(OSError):
                self.file.unlink(missing_ok=True)
        self._clean()

    def _clean(self) -> None:
        for folder in self._made:
            with suppress(OSError):  # what holds something stays
                folder.rmdir()

    def __enter__(self) -> OutputLock:
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self.release()


def is_locked(folder: Path) -> bool:
    """Whether a process works in a folder now. Changes nothing there."""
    if not (folder / LOCK).is_file():
        return False
    probe = FileLock(folder / LOCK)
    try:
        probe.acquire(timeout=0)
    except (Timeout, OSError, NotImplementedError):
        return True
    probe.release()
    return False
