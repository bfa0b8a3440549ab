"""Results on images that the model has not seen: one confusion matrix per image, in one compact file."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cimnet.errors import DataError, one_line
from cimnet.evaluation.metrics import Matrix
from cimnet.utils.files import write_atomically
from cimnet.utils.numbers import pluralize

FILE = "images.npz"


@dataclass(frozen=True)
class HeldOut:
    """Images and their confusion matrices.

    Attributes:
        ids: of the images, each once.
        matrices: (seeds, images, K, K) pixels, rows truth.
    """

    ids: tuple[str, ...]
    matrices: Matrix

    @property
    def pooled(self) -> Matrix:
        """One matrix over all images for each seed, (seeds, K, K)."""
        return self.matrices.sum(1)

    def write(self, path: Path) -> None:
        """Write arrays ``ids`` and ``matrices``, compressed.

        Raises:
            CimnetError: the file cannot be written.
        """

        def save(part: Path) -> None:
            with part.open("wb") as file:
                np.savez_compressed(file, ids=np.array(self.ids), matrices=self.matrices)

        write_atomically(path, save)


def read_held_out(path: Path, remedy: str) -> HeldOut:
    """Read a file that :meth:`HeldOut.write` has written.

    Raises:
        DataError: the file is missing or damaged; it names the file and ``remedy``.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            ids, matrices = tuple(arrays["ids"].tolist()), arrays["matrices"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({one_line(error)}); {remedy}") from error
    if matrices.ndim != 4 or matrices.shape[1] != len(ids):
        raise DataError(f"{path}: {matrices.shape} matrices for {pluralize(len(ids), 'image')}; {remedy}")
    return HeldOut(ids, matrices)


def join_folds(parts: Sequence[HeldOut]) -> HeldOut:
    """The images of all folds of one seed."""
    return HeldOut(tuple(name for part in parts for name in part.ids), np.concatenate([p.matrices for p in parts], 1))


def join_seeds(parts: Sequence[HeldOut]) -> HeldOut:
    """Several seeds of the same images, in the same order."""
    return HeldOut(parts[0].ids, np.concatenate([part.matrices for part in parts]))
