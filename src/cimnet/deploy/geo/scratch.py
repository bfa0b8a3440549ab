"""Intermediate class ids: a plain file beside the output that survives an interruption."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
from torch import nn

from cimnet.checkpoint import identity, identity_in_memory
from cimnet.data.io.local_rasters import raster_files
from cimnet.data.io.side_files import side_content
from cimnet.deploy.geo.outputs import Outputs, writing
from cimnet.errors import CimnetError
from cimnet.inference import Predictor
from cimnet.inference.backends.runtime import ExportedModel
from cimnet.utils.files import drop_link, resolved
from cimnet.utils.ledger import Ledger

Ids = npt.NDArray[np.uint8]


class Scratch:
    """`.NAME.part/` beside the output NAME: `classes` (one byte a pixel, row by row) and `progress.json`.

    Args:
        outputs: of the finished run; the folder lies beside the raster of classes.
        shape: (height, width).
        task: what must be the same for a run to resume, plain JSON, see `describe`.
        restart: drop what an interrupted run left, whatever its task was, and replace outputs that are there.

    Raises:
        CimnetError: another task was interrupted here, an output is there, there is no room, or the folder cannot be
            written.
    """

    def __init__(self, outputs: Outputs, shape: tuple[int, int], task: dict[str, Any], restart: bool) -> None:
        self.out = outputs.classes
        self.folder = self.out.with_name(f".{self.out.name}.part")
        self.shape = shape
        remedy = "give --overwrite to drop what the interrupted run left"
        self.ledger = Ledger(self.folder / "progress.json", task, remedy, section="task")
        for place in (self.folder, self.folder / "classes"):
            drop_link(place)
        if restart:
            shutil.rmtree(self.folder, ignore_errors=True)
        notes = self._notes()
        self.done: int = notes.get("done", 0)
        """Blocks that are written."""
        self._replaceable: dict[str, list[list[int]]] = notes.get("replaceable", {})
        if restart:
            self._add_replaceable({path: path for path in (*outputs.all, *outputs.stale) if path.exists()})
        for path in outputs.asked:
            if path.exists() and not self.may_replace(path):
                raise CimnetError(f"{path}: exists already; choose another name, or give --overwrite")
        for path in outputs.stale:
            if not self.may_replace(path):
                shown = f"{path}: would be shown in place of {self.out.name}"
                raise CimnetError(f"{shown}; remove it, choose another name, or give --overwrite")
        self._file = self._opened()
        if self.done == 0:
            self._note()

    def write(self, top: int, left: int, ids: Ids) -> None:
        """Keep the next block (rows, columns).

        Raises:
            CimnetError: it cannot be written; what is done is kept.
        """
        try:
            for row, line in enumerate(ids):
                self._file.seek((top + row) * self.shape[1] + left)
                rest = memoryview(line.tobytes())
                while rest:
                    rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise CimnetError(
                f"{self.folder}: cannot be written ({error.strerror}); what is done is kept: free space and repeat "
                "the command"
            ) from error
        self.done += 1
        self._note()

    def rows(self, first: int, last: int) -> Ids:
        """Rows first..last (excluded), (rows, width).

        Raises:
            CimnetError: the file was changed during the run.
        """
        content = np.empty((last - first, self.shape[1]), dtype=np.uint8)
        rest = content.data.cast("B")
        self._file.seek(first * self.shape[1])
        while rest:
            count = self._file.readinto(rest)
            if not count:
                raise CimnetError(f"{self.folder}: was changed during the run; give --overwrite to start again")
            rest = rest[count:]
        return content

    def may_replace(self, path: Path) -> bool:
        """Whether an output that is there is one that this run wrote, or was told to replace, as it was then."""
        return _state(path) in self._replaceable.get(str(resolved(path)), [])

    def name(self, staged: Mapping[Path, Path]) -> None:
        """Give finished files their names, by name to come. Interrupted in between, the next run knows them again."""
        self._add_replaceable(staged)
        self._note()
        for path, hidden in staged.items():
            with writing(path):
                hidden.replace(path)

    def close(self) -> None:
        """Keep it for a later run. If nothing is done yet, nothing is left."""
        self._file.close()
        if self.done == 0:
            self.delete()

    def delete(self) -> None:
        """Remove it."""
        self._file.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _notes(self) -> dict[str, Any]:
        """Read the notes of an interrupted run of the same task; if it had finished no block, its task does not
        matter."""
        notes = self.ledger.notes()
        done, replaceable = notes.get("done"), notes.get("replaceable", {})
        if done == 0 or not self.ledger.require_same():
            return {}
        content = self.folder / "classes"
        size = content.stat().st_size if content.is_file() else None
        known = isinstance(done, int) and isinstance(replaceable, dict)
        return notes if known and size == self.shape[0] * self.shape[1] else {}

    def _opened(self) -> FileIO:
        """The file of class ids, in full length. Unbuffered: what cannot be written fails where it is written."""
        size = self.shape[0] * self.shape[1]
        file = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / "classes"
            file = path.open("r+b" if path.exists() else "x+b", buffering=0)
            if not self.done:
                file.truncate(0)
            state = shutil.disk_usage(self.folder)
            if not self.done and state.total and state.free < size:
                room = f"class ids need {size / 1e6:,.1f} MB, {state.free / 1e6:,.1f} MB are free"
                raise OSError(errno.ENOSPC, room)
            file.truncate(size)
            return file
        except OSError as error:
            if file is not None:
                file.close()
            if not self.done:
                shutil.rmtree(self.folder, ignore_errors=True)
            reason = f"({error.strerror}); choose another folder or free space"
            raise CimnetError(f"{self.out}: cannot be written {reason}") from error

    def _note(self) -> None:
        self.ledger.write(done=self.done, replaceable=self._replaceable)

    def _add_replaceable(self, files: Mapping[Path, Path]) -> None:
        for path, file in files.items():
            self._replaceable.setdefault(str(resolved(path)), []).append(_state(file))


def describe(predictor: Predictor, rgb: Path, thermal: Path, **settings: Any) -> dict[str, Any]:
    """Return the settings that an interrupted run and the run that resumes it must share, by the names for an error."""
    task: dict[str, Any] = {
        "RGB file": _file(rgb),
        "thermal file": _file(thermal),
        **_files_behind("RGB sources", rgb),
        **_files_behind("thermal sources", thermal),
        "checkpoint": _identity(predictor),
        "precision": predictor.settings.precision,
        "flip": predictor.settings.flip,
        "scales": list(predictor.settings.scales),
        **settings,
    }
    return task


def _file(path: Path) -> list[Any]:
    return [str(resolved(path)), *_state(path)]


def _state(path: Path) -> list[int]:
    state = path.stat()
    return [state.st_size, state.st_mtime_ns]


def _identity(predictor: Predictor) -> str:
    """Return a model's identity. For a module: that of its weights as they are now, because they or the file may have
    changed since it was read. For an exported model: that of its files. Any other model gets a new one in each run."""
    if isinstance(predictor.model, nn.Module):
        return identity_in_memory(predictor.model, predictor.info)
    if isinstance(predictor.model, ExportedModel):
        return identity(predictor.model.path)
    return f"a model without file and weights, never the same: {uuid4().hex[:8]}"


def _files_behind(key: str, raster: Path) -> dict[str, str]:
    """A digest of the files that are read beside the raster's own; overviews never are."""
    files = sorted(path for path in raster_files(raster)[1:] if path.suffix != ".ovr")
    facts = [fact for fact in map(_beside, files) if fact]
    return {key: hashlib.sha256(json.dumps(facts).encode()).hexdigest()} if facts else {}


def _beside(path: Path) -> list[Any]:
    """Name, size and time of a file; of GDAL's .aux.xml its `side_content`. Empty: there is nothing in it."""
    if not path.name.endswith(".aux.xml"):
        return _file(path)
    content = side_content(path)
    return [str(resolved(path)), hashlib.sha256(content).hexdigest()] if content else []
