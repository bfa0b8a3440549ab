"""Turn uploaded files into tensors: checked before they are decoded, and read like the training data."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from torch import Tensor

from cimnet.data.io.open_image import ImageTooLarge, image_size, name_kinds
from cimnet.data.io.thermal_files import Wanted, thermal_size
from cimnet.deploy.serve.failures import Failure
from cimnet.errors import DataError
from cimnet.inference import Predictor
from cimnet.inference.images import wanted

_STARTS = {
    re.compile(rb"\x89PNG\r\n\x1a\n"): ".png",
    re.compile(rb"\xff\xd8\xff"): ".jpg",
    re.compile(rb"II[*+]\0|MM\0[*+]"): ".tif",
    re.compile(rb"BM"): ".bmp",
    re.compile(rb"\x93NUMPY"): ".npy",
    re.compile(rb"RIFF....WEBP", re.DOTALL): ".webp",
    re.compile(rb"....ftypavi[fs]", re.DOTALL): ".avif",
    re.compile(rb"....ftyp(hei[cx]|hev[cx]|mif1|msf1)", re.DOTALL): ".heic",
    re.compile(rb"\0\0\0\x0cjP  \r\n|\xff\x4f\xff\x51"): ".jp2",
}
"""First bytes of the kinds of file that the readers know by name; whether they read them depends on Pillow's build."""


def decode(predictor: Predictor, files: Mapping[str, BinaryIO], max_pixels: int) -> tuple[Tensor, Tensor]:
    """RGB (3, H, W) and thermal (C, H, W) in 0..1 of uploaded files ``rgb`` and ``thermal``; a missing one is black.

    The kind of a file is told by its first bytes, names are ignored. Nothing is left on disk.

    Raises:
        Failure: 415 for a file of another kind; 413 for more than ``max_pixels``, by the header; 422 for one that
            cannot be decoded or used, or sizes that differ.
    """
    with tempfile.TemporaryDirectory(prefix="cimnet-serve-") as folder:
        paths = {field: _store(file, Path(folder), field) for field, file in files.items()}
        names = {path: field for field, path in paths.items()}
        try:
            sought = wanted(predictor.info, predictor.settings.bands, predictor.settings.thermal_unit)
            sizes = {field: _size(path, field, max_pixels, sought) for field, path in paths.items()}
            if len(set(sizes.values())) > 1:
                text = " and ".join(f"{field} {width}×{height}" for field, (height, width) in sizes.items())
                raise Failure(422, f"the sizes differ (width×height): {text}", "register the pair to one size first")
            return predictor.tensors(paths.get("rgb"), paths.get("thermal"))
        except ImageTooLarge as error:
            field = next(field for path, field in names.items() if str(error).startswith(f"{path}: "))
            raise _too_many(field, max_pixels) from error
        except DataError as error:
            raise Failure.of(422, error, names) from error


def _store(file: BinaryIO, folder: Path, field: str) -> Path:
    """Under a name that the readers know, by content."""
    file.seek(0)
    start = file.read(16)
    suffix = next((suffix for known, suffix in _STARTS.items() if known.match(start)), None)
    if not start:
        raise Failure(422, f"{field}: the file is empty (0 bytes)", "send the image, or leave the field out")
    if suffix is None or (suffix == ".npy" and field == "rgb"):
        kinds = f"{name_kinds()} image" + (" or .npy array" if field == "thermal" else "")
        raise Failure(415, f"{field}: not a {kinds}", "send one of these")
    file.seek(0)
    path = folder / f"{field}{suffix}"
    with path.open("wb") as target:
        shutil.copyfileobj(file, target)
    return path


def _size(path: Path, field: str, max_pixels: int, sought: Wanted) -> tuple[int, int]:
    """(height, width), of the temperatures where a JPEG holds them; of several bands, which Pillow need not open, by
    the header.

    Raises:
        ImageTooLarge, DataError: as the readers say it.
        Failure: 413.
    """
    several = field == "thermal" and sought.second.channels > 1
    picture = (0, 0) if several or path.suffix == ".npy" else image_size(path)
    size = thermal_size(path, sought) if field == "thermal" and picture[0] * picture[1] <= max_pixels else picture
    if size[0] * size[1] > max_pixels:
        raise _too_many(field, max_pixels)
    return size


def _too_many(field: str, max_pixels: int) -> Failure:
    return Failure(
        413,
        f"{field}: more than {max_pixels:,} pixels",
        "cut it into tiles, or start the server with --max-pixels",
    )
