"""Exports of labelling tools: a zip file, or the folder that it was unpacked into. Nothing is unpacked to disk."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from cimnet.errors import DataError, one_line

MOST_BYTES = 500_000_000
"""Of one entry, unpacked."""
_UNREADABLE = (KeyError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError)
"""Of an entry of a zip that is missing, damaged, or encrypted or packed by another method (both RuntimeError)."""


class Entries:
    """The files of a zip or folder by their relative names.

    Raises:
        DataError: neither.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip: zipfile.ZipFile | None = None
        if path.is_dir():
            self.names = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
            return
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(
                f"{path}: cannot be opened ({one_line(error)}); give the .zip or .json that the tool exported"
            ) from error
        self.names = sorted(info.filename for info in self._zip.infolist() if not info.is_dir())

    def bytes(self, name: str) -> bytes:
        """The content of an entry.

        Raises:
            DataError: it is damaged or far too large.
        """
        try:
            if self._zip is None:
                return (self.path / name).read_bytes()
            if self._zip.getinfo(name).file_size > MOST_BYTES:
                raise DataError(f"{self.path}: {name} unpacks to more than {MOST_BYTES} bytes")
            with self._zip.open(name) as file:
                return file.read(MOST_BYTES)
        except (OSError, *_UNREADABLE) as error:
            raise DataError(f"{self.path}: {name} cannot be read ({one_line(error)}); export again") from error

    def text(self, name: str) -> str:
        """An entry as UTF-8.

        Raises:
            DataError: it cannot be read.
        """
        try:
            return self.bytes(name).decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{self.path}: {name} is not UTF-8; export again") from error

    def image(self, name: str) -> npt.NDArray[Any]:
        """An entry as an RGB image (H, W, 3).

        Raises:
            DataError: it cannot be read.
        """
        try:
            with Image.open(io.BytesIO(self.bytes(name)), formats=("PNG",)) as picture:
                return np.array(picture.convert("RGB"))
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise DataError(f"{self.path}: {name} cannot be read ({one_line(error)}); export again") from error
