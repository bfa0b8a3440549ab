"""Several files that belong together: all of them are written, or none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from cimnet.errors import CimnetError, one_line


def write_together(contents: Mapping[Path, str | bytes | None]) -> None:
    """Write files, text as UTF-8 (None: the file is removed), so that after an error every one of them is what it was.

    All are written under temporary names first. Then each file that is there steps aside under another temporary name
    and the new one takes its place; if that fails for one, those before it are put back.

    Raises:
        CimnetError: a file that cannot be written or replaced, by name; nothing has changed then.
    """
    steps = [_Step(path, content) for path, content in contents.items()]
    done: list[_Step] = []
    step = None
    try:
        for step in steps:
            step.stage()
        for step in steps:
            done.append(step)
            step.replace()
    except OSError as error:
        for before in reversed(done):
            before.put_back()
        reason = f"cannot be written ({one_line(error)}), so nothing was changed"
        place = "" if step is None else f"{step.path}: "
        raise CimnetError(f"{place}{reason}; allow it, free space, or choose another folder") from error
    finally:
        for step in steps:
            step.clean()


class _Step:
    """One file on its way."""

    def __init__(self, path: Path, content: str | bytes | None) -> None:
        self.path, self.content = path, content
        self.new = path.with_name(f".{path.name}.{os.getpid()}.part")
        self.old = path.with_name(f".{path.name}.{os.getpid()}.before")
        self.aside = self.placed = False

    def stage(self) -> None:
        """The new content under a temporary name."""
        if self.path.is_dir():
            raise IsADirectoryError(21, "it is a folder")
        if self.content is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.new.write_bytes(self.content.encode() if isinstance(self.content, str) else self.content)

    def replace(self) -> None:
        """The new file in place of what was there."""
        if os.path.lexists(self.path):
            self.path.replace(self.old)
            self.aside = True
        if self.content is not None:
            self.new.replace(self.path)
            self.placed = True

    def put_back(self) -> None:
        """Put back the files that were there before."""
        if self.placed:
            self.path.unlink(missing_ok=True)
        if self.aside:
            self.old.replace(self.path)
            self.aside = False

    def clean(self) -> None:
        """No temporary file stays."""
        self.new.unlink(missing_ok=True)
        if self.aside:
            self.old.unlink(missing_ok=True)
