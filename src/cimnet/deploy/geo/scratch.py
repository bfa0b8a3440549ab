"""Class ids on their way: a plain file beside the output that survives an interruption."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
from torch import nn

from cimnet.checkpoint import identity, identity_in_memory
from cimnet.deploy.geo.local_rasters import raster_files
from cimnet.errors import CimnetError
from cimnet.inference import Predictor
from cimnet.inference.backends.runtime import ExportedModel
from cimnet.utils.ledger import Ledger

Ids = npt.NDArray[np.uint8]


class Scratch:
    """`.NAME.part/` beside the output NAME: `classes` (one byte a pixel, row by row) and `progress.json`.

    Args:
        out: of the finished output.
        shape: (height, width).
        task: what must be the same for a run to go on, plain JSON, see `describe`.
        restart: drop what a run with another task left, instead of refusing.

    Raises:
        CimnetError: another task was interrupted here, or the folder cannot be written.
    """

    def __init__(self, out: Path, shape: tuple[int, int], task: dict[str, Any], restart: bool) -> None:
        self.folder = out.with_name(f".{out.name}.part")
        self.shape = shape
        remedy = "give --overwrite to drop what the interrupted run left"
        self.ledger = Ledger(self.folder / "progress.json", task, remedy, section="task")
        try:
            self.folder.mkdir(exist_ok=True)
            self._file = os.fdopen(os.open(self.folder / "classes", os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        except OSError as error:
            raise CimnetError(f"{out}: cannot be written ({error.strerror}); choose another folder") from error
        self.done = self._resume(restart)
        """Blocks that are written."""

    def write(self, top: int, left: int, ids: Ids) -> None:
        """Keep the next block (rows, columns)."""
        try:
            for row, line in enumerate(ids):
                self._file.seek((top + row) * self.shape[1] + left)
                self._file.write(line.tobytes())
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise CimnetError(
                f"{self.folder}: cannot be written ({error.strerror}); what is done is kept: free space and repeat "
                "the command"
            ) from error
        self.done += 1
        self.ledger.write(done=self.done)

    def rows(self, first: int, last: int) -> Ids:
        """Rows first..last (excluded), (rows, width)."""
        self._file.seek(first * self.shape[1])
        content = self._file.read((last - first) * self.shape[1])
        return np.frombuffer(content, dtype=np.uint8).reshape(last - first, self.shape[1])

    def close(self) -> None:
        """Leave it for a later run; where nothing is done yet, nothing is left."""
        self._file.close()
        if self.done == 0:
            self.delete()

    def delete(self) -> None:
        """Remove it."""
        self._file.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _resume(self, restart: bool) -> int:
        """Blocks done by an interrupted run of the same task."""
        size = self.shape[0] * self.shape[1]
        if not restart:
            try:
                self.ledger.require_same()
            except CimnetError:
                self._file.close()
                raise
        done = self.ledger.notes().get("done") if self.ledger.state() == "same" else None
        if isinstance(done, int) and done > 0 and self._file.seek(0, os.SEEK_END) == size:
            return done
        self._file.truncate(size)
        self.ledger.write(done=0)
        return 0


def describe(predictor: Predictor, rgb: Path, thermal: Path, **settings: Any) -> dict[str, Any]:
    """What an interrupted run must have in common with the one that goes on, by words for an error."""
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
    state = path.stat()
    return [str(path.resolve()), state.st_size, state.st_mtime_ns]


def _identity(predictor: Predictor) -> str:
    """Of a module that of its weights as they are now: they, or the file, may have changed since it was read. Of an
    exported model that of its files. What is neither cannot be compared: no run has the same identity as another."""
    if isinstance(predictor.model, nn.Module):
        return identity_in_memory(predictor.model, predictor.info)
    if isinstance(predictor.model, ExportedModel):
        return identity(predictor.model.path)
    return f"a model without file and weights, never the same: {uuid4().hex[:8]}"


def _files_behind(key: str, raster: Path) -> dict[str, str]:
    """A digest of name, size and time of the files that are read beside the raster's own; overviews never are."""
    files = [path for path in raster_files(raster)[1:] if path.suffix != ".ovr"]
    if not files:
        return {}
    return {key: hashlib.sha256(json.dumps([_file(path) for path in sorted(files)]).encode()).hexdigest()}
