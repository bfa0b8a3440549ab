"""Class ids on their way: a plain file beside the output that survives an interruption."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cimnet.errors import CimnetError
from cimnet.inference import Predictor
from cimnet.utils.files import write_text

Ids = npt.NDArray[np.uint8]


class Scratch:
    """`.NAME.part/` beside the output NAME: `classes` (one byte a pixel, row by row) and `progress.json`.

    Args:
        out: of the finished output.
        shape: (height, width).
        task: what must be the same for a run to go on, plain JSON, see `describe`.
        restart: drop what a run with another task left, instead of refusing.

    Raises:
        CimnetError: another task was interrupted here, another process is at it, or the folder cannot be written.
    """

    def __init__(self, out: Path, shape: tuple[int, int], task: dict[str, Any], restart: bool) -> None:
        self.folder = out.with_name(f".{out.name}.part")
        self.shape = shape
        self.task = task
        self._progress = self.folder / "progress.json"
        try:
            self.folder.mkdir(exist_ok=True)
            self._file = os.fdopen(os.open(self.folder / "classes", os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        except OSError as error:
            raise CimnetError(f"{out}: cannot be written ({error.strerror}); choose another folder") from error
        self._lock(out)
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
        self._note()

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

    def _lock(self, out: Path) -> None:
        if sys.platform == "win32":
            return
        import fcntl

        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise CimnetError(f"{out}: another process is writing it; wait for it or choose another name") from error

    def _resume(self, restart: bool) -> int:
        """Blocks done by an interrupted run of the same task."""
        size = self.shape[0] * self.shape[1]
        try:
            found = json.loads(self._progress.read_text(encoding="utf-8"))
            task, done = dict(found["task"]), int(found["done"])
        except (OSError, ValueError, KeyError, TypeError):  # a run that ended before its first block
            task, done = self.task, 0
        other = sorted(key for key in {*task, *self.task} if task.get(key) != self.task.get(key))
        if other and not restart:
            self._file.close()
            raise CimnetError(
                f"{self.folder}: an interrupted run with another {', '.join(other)}; repeat its command to go on with "
                "it, or give --overwrite to drop it"
            )
        if not other and done and self._file.seek(0, os.SEEK_END) == size:
            return done
        self.done = 0
        self._file.truncate(size)
        self._note()
        return 0

    def _note(self) -> None:
        write_text(self._progress, json.dumps({"task": self.task, "done": self.done}, indent=1))


def describe(predictor: Predictor, rgb: Path, thermal: Path, **settings: Any) -> dict[str, Any]:
    """What an interrupted run must have in common with the one that goes on, by words for an error."""
    task = {
        "RGB file": _file(rgb),
        "thermal file": _file(thermal),
        "checkpoint": _weights(predictor),
        "precision": predictor.settings.precision,
        "flip": predictor.settings.flip,
        "scales": list(predictor.settings.scales),
        **settings,
    }
    return dict(json.loads(json.dumps(task)))


def _file(path: Path) -> list[Any]:
    state = path.stat()
    return [str(path.resolve()), state.st_size, state.st_mtime_ns]


def _weights(predictor: Predictor) -> str:
    """SHA-256 of the description and, where they can be had, the weights."""
    total = hashlib.sha256(json.dumps(asdict(predictor.info), sort_keys=True).encode())
    if isinstance(predictor.model, torch.nn.Module):
        for name, tensor in predictor.model.state_dict().items():
            total.update(name.encode())
            total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
