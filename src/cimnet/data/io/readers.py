"""Image files to arrays: RGB, class-id labels and 4-channel RGB-thermal files; thermal files: `thermal_files`.

Colours are always in the order red, green, blue. An EXIF orientation tag is applied to every JPEG and PNG that
carries one, so that a photograph and its mask come out the same way up. All failures are one-line
`DataError`s naming the file.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from cimnet.data.io.directories import check_directories
from cimnet.errors import DataError

MAX_PIXELS = 150_000_000
"""Larger images are refused before they are decoded: a small file can unpack to many gigabytes."""

_FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
_SWAPPED_ORIENTATIONS = {5, 6, 7, 8}
_ORIENTATION_TAG, _BITS_TAG = 0x0112, 0x0102
LOSSY = ("JPEG", "MPO")  # MPO: a JPEG with further pictures behind it, as drones and FLIR cameras write


Ids = npt.NDArray[np.uint8] | npt.NDArray[np.int32]


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) from the header of an image file, without decoding it.

    Raises:
        DataError: not there, empty, not an image, or larger than `MAX_PIXELS`.
    """
    with opened(path) as image:
        width, height = image.size
        if _orientation(image) in _SWAPPED_ORIENTATIONS:
            width, height = height, width
        return height, width


def read_rgb(path: Path) -> npt.NDArray[np.uint8]:
    """A colour image as (H, W, 3) uint8, red first. Grey images are copied to three channels; alpha is
    dropped.

    Raises:
        DataError: the file cannot be decoded or holds 16-bit or float values.
    """
    with opened(path) as image:
        if image.mode.startswith(("I", "F")):
            raise DataError(
                f"{path}: a one-channel image of mode {image.mode!r} where an 8-bit RGB image is expected "
                "(are the RGB and thermal folders swapped?)"
            )
        return np.array(upright(image).convert("RGB"))


def read_label(path: Path, grey: bool = False) -> Ids:
    """Values of a label image, (H, W): uint8, or int32 for 16-bit files. Palette images give indices; with `grey`
    an RGB image of three equal channels gives one of them.

    Raises:
        DataError: the file cannot be decoded, is lossy (JPEG), a colour image or a 1-bit image.
    """
    with opened(path) as image:
        if image.format in LOSSY:
            raise DataError(f"{path}: JPEG changes class ids; save labels as PNG")
        if image.mode == "1":
            raise DataError(f"{path}: a 1-bit label; save class ids as an 8-bit grey or palette PNG")
        if image.mode == "P" or image.mode == "L":
            ids = np.array(upright(image))
            depth = channel_bits(image, path)
            if image.mode == "L" and depth in (2, 4):  # Pillow stretches 2- and 4-bit grey to 0..255
                ids //= np.uint8(255 // (2**depth - 1))
            return ids
        if image.mode.startswith("I"):
            return np.array(upright(image)).astype(np.int32)
        if grey and image.mode == "RGB":
            values = np.array(upright(image))
            if (values == values[..., :1]).all():
                return np.ascontiguousarray(values[..., 0])
        raise DataError(
            f"{path}: a label of mode {image.mode} (colours); labels hold one class id a pixel: "
            "say label_format: colors in classes.yaml, or save class ids as an 8-bit grey or palette PNG"
        )


def read_rgbt(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """A 4-channel file (MFNet's form) as RGB (H, W, 3) uint8 and thermal (H, W) uint8, the fourth channel.

    Raises:
        DataError: the file cannot be decoded or has no fourth channel.
    """
    with opened(path) as image:
        if image.mode != "RGBA":
            raise DataError(
                f"{path}: mode {image.mode}, expected RGBA with the thermal image in the fourth channel; "
                "with separate thermal files use the layout rgb/ thermal/ labels/"
            )
        if channel_bits(image, path) == 16:
            raise DataError(f"{path}: 16-bit RGBA would be cut to 8 bits; save RGB and 16-bit thermal separately")
        values = np.array(upright(image))
    if values[..., 3].min() == 255:
        raise DataError(f"{path}: the fourth channel is 255 everywhere: opacity, not a thermal image")
    return np.ascontiguousarray(values[..., :3]), np.ascontiguousarray(values[..., 3])


def same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file (by device and inode, so through links, too): an RGB and a thermal image of
    one pair that are one file are a 4-channel file. Where there is no such file, whether the resolved paths are
    equal."""
    try:
        return one.samefile(other)
    except OSError:
        return os.path.realpath(one) == os.path.realpath(other)  # Path.resolve raises on links that lead to themselves


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Open an image and turn whatever Pillow raises, then or while decoding, into a one-line DataError."""
    try:
        refuse_pipe(path)
        check_directories(path)
        with Image.open(path, formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(_too_large(path))
            if isinstance(image, TiffImagePlugin.TiffImageFile):
                _check_tiff(image, path)
            yield image
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(_too_large(path)) from error
    except FileNotFoundError as error:
        reason = "a link to a file that is not there" if path.is_symlink() else "no such file"
        raise DataError(f"{path}: {reason}; restore or remove it") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: {_unidentified(path)}") from error
    except Exception as error:  # Pillow's decoders raise almost anything on damaged files
        reason = " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__
        raise DataError(f"{path}: cannot be read ({reason}); restore or remove it") from error


def refuse_pipe(path: Path) -> None:
    """Refuse what opening could wait on for ever.

    Raises:
        DataError: a pipe, socket or device.
        OSError: there is no such file.
    """
    kind = path.stat().st_mode
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
        raise DataError(f"{path}: a pipe, socket or device, not an image file; remove it")


def _check_tiff(image: TiffImagePlugin.TiffImageFile, path: Path) -> None:
    if image.tag_v2.get(_ORIENTATION_TAG, 1) != 1:
        raise DataError(f"{path}: a TIFF with an orientation tag; save it upright, without the tag")
    codec, raw_mode = (image.tile[0][0], image.tile[0][3]) if image.tile else ("", "")
    if codec == "libtiff" and isinstance(raw_mode, tuple) and re.search(r";\d+B", str(raw_mode[0])):
        # libtiff has swapped the bytes already, and Pillow (seen in 13.0) swaps them again
        raise DataError(
            f"{path}: a compressed big-endian TIFF of signed or float values would be read wrongly; save it without "
            "compression or little-endian"
        )


def _unidentified(path: Path) -> str:
    """What is wrong with a file that Pillow does not know, and what to do."""
    with path.open("rb") as file:
        start = file.read(4)
    if start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return (
            "a damaged TIFF, or of a kind that cannot be read (64-bit values, for example); save it with 8- or 16-bit "
            "integers or 32-bit floats"
        )
    reason = "not a PNG, JPEG, TIFF or BMP image" if start else "the file is empty (0 bytes)"
    return f"{reason}; restore or remove it"


def _too_large(path: Path) -> str:
    return f"{path}: more than {MAX_PIXELS:,} pixels; cut the image into tiles first"


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8. PNG is asked only if its header holds EXIF; TIFF with the tag is refused."""
    if image.format in LOSSY or (image.format == "PNG" and "exif" in image.info):
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    return 1


def upright(image: Image.Image) -> Image.Image:
    return ImageOps.exif_transpose(image) if _orientation(image) != 1 else image


def channel_bits(image: Image.Image, path: Path) -> int | None:
    """Bits a channel as written in a PNG or TIFF file (Pillow's mode does not tell); None for other formats."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return int(image.tag_v2.get(_BITS_TAG, (1,))[0])
    if image.format != "PNG":
        return None
    with path.open("rb") as file:
        return file.read(25)[24]
