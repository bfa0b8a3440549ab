"""Open image files of the supported formats, with one-line errors for everything that goes wrong."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path

from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError, features

from cimnet.data.io import tiff_tags as tags
from cimnet.data.io.directories import check_directories
from cimnet.data.io.tiff_tags import COMPRESSIONS, MAGIC, PHOTOMETRICS, read_tiff
from cimnet.errors import DataError, one_line

MAX_PIXELS = 150_000_000
"""Larger images are refused before they are decoded: a small file can unpack to many gigabytes."""

_SWAPPED_ORIENTATIONS = {5, 6, 7, 8}
_ORIENTATION_TAG, _BITS_TAG = 0x0112, 0x0102
LOSSY = ("JPEG", "MPO")  # MPO: a JPEG with further pictures behind it, as drones and FLIR cameras write
_UPRIGHT = ("PNG", "WEBP", "AVIF", "JPEG2000", "HEIF")  # formats that may hold EXIF, beside JPEG
_KINDS = {
    b"ftyphei": "a HEIC image, which is not read here; convert it to PNG, or install pillow-heif",
    b"ftyphev": "a HEIC image, which is not read here; convert it to PNG, or install pillow-heif",
    b"ftypmif1": "a HEIF image, which is not read here; convert it to PNG, or install pillow-heif",
    b"ftypavif": "an AVIF image, which this build of Pillow does not read; convert it to PNG",
    b"GIF8": "a GIF image, which is not read; convert it to PNG",
    b"8BPS": "a Photoshop file, which is not read; export it as PNG",
    b"\x89HDF": "an HDF5 file, which is not read; export its images as TIFF",
    b"FFF\0": "a FLIR sequence, which is not read; export its frames as TIFF",
    b"\x93NUMPY": "a .npy array; end its name in .npy",
}


for _order in (b"II", b"MM"):  # the masks that GDAL writes into TIFF files, which Pillow has no entry for
    TiffImagePlugin.OPEN_INFO.setdefault((_order, 4, (1,), 1, (1,), ()), ("1", "1"))
# white is zero, 16 bits, big-endian: Pillow knows the little-endian one
TiffImagePlugin.OPEN_INFO.setdefault((b"MM", 0, (1,), 1, (16,), ()), ("I;16B", "I;16B"))


class ImageTooLarge(DataError):
    """An image of more than `MAX_PIXELS`, or of more than Pillow is told to open (``Image.MAX_IMAGE_PIXELS``)."""


def too_large(path: Path, what: str = "", remedy: str = "cut the image into tiles first") -> ImageTooLarge:
    """Return the error for a file.

    Args:
        path: the file.
        what: what is too large, if not the image itself.
        remedy: what to do about it.
    """
    most = min(MAX_PIXELS, 2 * (Image.MAX_IMAGE_PIXELS or MAX_PIXELS))  # Pillow refuses twice its limit
    return ImageTooLarge(f"{path}: {what}more than {most:,} pixels; {remedy}")


@cache
def formats() -> tuple[str, ...]:
    """The formats, by Pillow's names, that can be read here."""
    found = ["PNG", "JPEG", "TIFF", "BMP"]
    for feature, name in (("webp", "WEBP"), ("avif", "AVIF"), ("jpg_2000", "JPEG2000")):
        if feature in {*features.modules, *features.codecs} and features.check(feature):  # old ones warn of new names
            found.append(name)
    try:
        import_module("pillow_heif").register_heif_opener()
        found.append("HEIF")
    except ImportError:
        pass
    return tuple(found)


def name_kinds() -> str:
    """The formats that can be read here, in words: "PNG, JPEG, TIFF, BMP, WebP or JPEG 2000"."""
    named = [{"WEBP": "WebP", "JPEG2000": "JPEG 2000", "HEIF": "HEIC"}.get(name, name) for name in formats()]
    return f"{', '.join(named[:-1])} or {named[-1]}"


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) from the header of an image file, without decoding it.

    Raises:
        ImageTooLarge: more than `MAX_PIXELS`, or than Pillow is told to open.
        DataError: not there, empty or not an image.
    """
    with opened(path) as image:
        width, height = image.size
        if orientation(image) in _SWAPPED_ORIENTATIONS:
            width, height = height, width
        return height, width


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Open an image and turn whatever Pillow raises, then or while decoding, into a one-line DataError."""
    try:
        refuse_pipe(path)
        check_directories(path)
        with Image.open(path, formats=formats()) as image:
            if image.width * image.height > MAX_PIXELS:
                raise too_large(path)
            if isinstance(image, TiffImagePlugin.TiffImageFile):
                _check_tiff(image, path)
            yield image
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise too_large(path) from error
    except FileNotFoundError as error:
        reason = "a link to a file that is not there" if path.is_symlink() else "no such file"
        raise DataError(f"{path}: {reason}; restore or remove it") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: {_unidentified(path)}") from error
    except Exception as error:  # Pillow's decoders raise almost anything on damaged files
        reason = one_line(error)
        raise DataError(f"{path}: cannot be read ({reason}); restore or remove it") from error


def refuse_pipe(path: Path) -> None:
    """Refuse a path that could block for ever when it is opened.

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
    """Say what a file is that Pillow does not know, and what to do."""
    with path.open("rb") as file:
        start = file.read(16)
    if start[:4] in MAGIC:
        return _unread_tiff(path)
    for magic, words in _KINDS.items():
        if start.startswith(magic) or start[4:].startswith(magic):
            return words
    reason = "not a PNG, JPEG, TIFF or BMP image" if start else "the file is empty (0 bytes)"
    return f"{reason}; restore or remove it"


def _unread_tiff(path: Path) -> str:
    """Describe a TIFF that Pillow does not decode: its compression, bands and values."""
    tiff = read_tiff(path)
    if not tiff.pages or tags.WIDTH not in tiff.pages[0]:
        return "a damaged TIFF; restore or remove it"
    bits, sign, bands = tiff.number(tags.BITS, 1), tiff.number(tags.SAMPLE_FORMAT, 1), tiff.number(tags.SAMPLES, 1)
    kind = {1: "unsigned integers", 2: "signed integers", 3: "floats", 5: "complex integers", 6: "complex numbers"}
    photometric, compression = tiff.number(tags.PHOTOMETRIC, 1), tiff.number(tags.COMPRESSION, 1)
    named = COMPRESSIONS.get(compression, f"compression {compression}")
    what = f"{bits}-bit {kind.get(sign, 'values of unknown type')}, {bands} {'band' if bands == 1 else 'bands'}"
    what += f", {PHOTOMETRICS.get(photometric, f'photometric interpretation {photometric}')}, {named} compression"
    if compression not in COMPRESSIONS or compression in _UNREAD_COMPRESSIONS:
        remedy = "rewrite it with gdal_translate -co COMPRESS=DEFLATE IN OUT"
    elif bands > 1:
        remedy = "choose bands (--rgb-bands, --thermal-band, `bands:` in classes.yaml), or gdal_translate -b N IN OUT"
    elif sign == 3:
        remedy = "rewrite it with gdal_translate -ot Float32 IN OUT"
    else:
        remedy = "rewrite it with 8- or 16-bit integers or 32-bit floats (gdal_translate -ot UInt16 or Float32 IN OUT)"
    return f"a TIFF of a kind that is not read ({what}); {remedy}"


_UNREAD_COMPRESSIONS = {34712, 34887, 50002, 52546}


def orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8. Others than JPEG are asked only if their header holds EXIF; a TIFF with it is refused."""
    if image.format in LOSSY or (image.format in _UPRIGHT and "exif" in image.info):
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    return 1


def upright(image: Image.Image) -> Image.Image:
    """The image as it is to be seen, by its EXIF orientation."""
    return ImageOps.exif_transpose(image) if orientation(image) != 1 else image


def channel_bits(image: Image.Image, path: Path) -> int | None:
    """Bits a channel as written in a PNG or TIFF file (Pillow's mode does not tell); None for other formats."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return int(image.tag_v2.get(_BITS_TAG, (1,))[0])
    if image.format != "PNG":
        return None
    with path.open("rb") as file:
        return file.read(25)[24]
