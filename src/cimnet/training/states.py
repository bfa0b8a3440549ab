"""Training states on disk: the newest and the one before it, each verified before it is believed.

A state is a zip archive, as torch writes it, with a checksum (CRC-32) of each record. It is written under a temporary
name, flushed to the disk and renamed, and the one before stays as ``previous.pt``: whenever a run is killed, one whole
state is left.
"""

from __future__ import annotations

import os
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from cimnet.errors import CheckpointError
from cimnet.utils.files import write_atomically

State = dict[str, Any]
LAST, PREVIOUS = "last.pt", "previous.pt"


def state_files(folder: Path) -> list[Path]:
    """States in a run folder, the newest first."""
    return [path for path in (folder / LAST, folder / PREVIOUS) if path.is_file()]


def save_state(folder: Path, state: State) -> None:
    """Write a state; the newest until now becomes the one before.

    Raises:
        CimnetError: the folder cannot be written or the disk is full; the states that were there are still there.
    """
    last = folder / LAST

    def write(path: Path) -> None:
        torch.save(state, path)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        if last.is_file():
            last.replace(folder / PREVIOUS)

    write_atomically(last, write)


def load_state(folder: Path) -> tuple[State | None, list[Path]]:
    """The newest whole state in a run folder, None if there is none, and the damaged ones that were skipped with a
    warning.

    Raises:
        CheckpointError: there are states, and all are damaged.
    """
    damaged: dict[Path, str] = {}
    for path in state_files(folder):
        try:
            state = read_state(path)
        except CheckpointError as error:
            damaged[path] = str(error)
            continue
        if damaged:
            warnings.warn(
                f"{next(iter(damaged.values()))}; resuming from {path.name}, the state before it", stacklevel=2
            )
        return state, list(damaged)
    if damaged:
        raise CheckpointError(f"{next(iter(damaged.values()))}; start a new run or restore a copy")
    return None, []


def read_state(path: Path) -> State:
    """Read and verify one state; code inside the file is refused.

    Raises:
        CheckpointError: it is damaged, or no training state.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken is not None:
            raise CheckpointError(f"{path}: damaged training state (checksum of {broken})")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # zip and unpickler raise almost anything on damaged files
        raise CheckpointError(f"{path}: damaged training state") from error
    if not isinstance(state, dict) or "progress" not in state:
        raise CheckpointError(f"{path}: damaged training state (no progress in it)")
    return state
