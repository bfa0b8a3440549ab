"""Image files to arrays: RGB, thermal (8 or 16 bit), class-id labels and 4-channel RGB-thermal files.

Colours are always in the order red, green, blue. An EXIF orientation tag is applied to every JPEG and PNG that
carries one, so that a photograph and its mask come out the same way up. All failures are one-line
`DataError`s naming the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from cimnet.errors import DataError

MAX_PIXELS = 150_000_000
"""Larger images are refused before they are decoded: a small file can unpack to many gigabytes."""

_FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
_GREY_TOLERANCE = {"JPEG": 16}  # largest difference between "equal" channels; JPEG rounds colours
_SWAPPED_ORIENTATIONS = {5, 6, 7, 8}
_ORIENTATION_TAG = 0x0112

Counts = npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | npt.NDArray[np.float32]


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) from the header of an image file, without decoding it.

    Raises:
        DataError: not there, empty, not an image, or larger than `MAX_PIXELS`.
    """
    with _opened(path) as image:
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
    with _opened(path) as image:
        if image.mode.startswith(("I", "F")):
            raise DataError(
                f"{path}: a one-channel image of mode {image.mode!r} where an 8-bit RGB image is expected "
                "(are the RGB and thermal folders swapped?)"
            )
        return np.array(_upright(image).convert("RGB"))


def read_thermal(path: Path, thermal_range: tuple[float, float] | None = None) -> npt.NDArray[np.float32]:
    """A thermal image as (H, W) float32 in 0..1; see `read_thermal_counts` and `scale_thermal`."""
    return scale_thermal(read_thermal_counts(path), thermal_range, path)


def read_thermal_counts(path: Path) -> Counts:
    """The raw values of a thermal image, (H, W): uint8, uint16, or float32 for float TIFF.

    Accepts one-channel 8-bit, 16-bit PNG and TIFF, float TIFF, and grey images saved with three channels.

    Raises:
        DataError: the file cannot be decoded, or its colours differ: a palette was burnt into it.
    """
    with _opened(path) as image:
        deep_colour = image.mode in ("RGB", "RGBA", "LA") and _png_bit_depth(image, path) == 16
        if deep_colour:
            raise DataError(
                f"{path}: 16-bit thermal values in a PNG of mode {image.mode} would be cut to 8 bits; "
                "save one 16-bit grey channel"
            )
        if image.mode == "1":
            raise DataError(f"{path}: a 1-bit image holds two values only; save thermal images with 8 or 16 bits")
        tolerance = _GREY_TOLERANCE.get(image.format or "", 0)
        upright = _upright(image)
        if upright.mode == "L":
            return np.array(upright)
        if upright.mode == "F":
            return np.array(upright, dtype=np.float32)
        if upright.mode.startswith("I"):
            return as_uint16(np.array(upright), path)
        if upright.mode == "LA":
            return np.array(upright.getchannel("L"))
        return _grey(np.array(upright.convert("RGB")), tolerance, path)


def scale_thermal(
    counts: Counts, thermal_range: tuple[float, float] | None, path: Path | str = "thermal"
) -> npt.NDArray[np.float32]:
    """Map raw counts low..high to 0..1, with clipping.

    Args:
        counts: (H, W) raw values.
        thermal_range: (low, high) in raw counts; None means the whole range of the bit depth (255 or 65535).
        path: named in the error.

    Raises:
        DataError: float values without a range, or values that are not finite.
    """
    if counts.dtype == np.float32:
        if thermal_range is None:
            raise DataError(f"{path}: float thermal values need a thermal_range, e.g. thermal_range: [270, 330]")
        if not np.isfinite(counts).all():
            raise DataError(f"{path}: thermal values that are not finite (NaN or infinite); fill them first")
    low, high = thermal_range or (0.0, 255.0 if counts.dtype == np.uint8 else 65535.0)
    scaled = counts.astype(np.float32)
    scaled -= np.float32(low)
    scaled *= np.float32(1.0 / (high - low))
    return np.clip(scaled, 0.0, 1.0, out=scaled)


def read_label(path: Path) -> npt.NDArray[np.uint8] | npt.NDArray[np.int32]:
    """Class ids of a label image, (H, W): uint8, or int32 for 16-bit files. Palette images give indices.

    Raises:
        DataError: the file cannot be decoded, is lossy (JPEG), a colour image or a 1-bit image.
    """
    with _opened(path) as image:
        if image.format == "JPEG":
            raise DataError(f"{path}: JPEG changes class ids; save labels as PNG")
        if image.mode == "1":
            raise DataError(f"{path}: a 1-bit label; save class ids as an 8-bit grey or palette PNG")
        if image.mode == "P" or image.mode == "L":
            ids = np.array(_upright(image))
            depth = _png_bit_depth(image, path)
            if image.mode == "L" and depth in (2, 4):  # Pillow stretches 2- and 4-bit grey to 0..255
                ids //= np.uint8(255 // (2**depth - 1))
            return ids
        if image.mode.startswith("I"):
            return np.array(_upright(image)).astype(np.int32)
        raise DataError(
            f"{path}: a label of mode {image.mode} (colours); labels hold one class id a pixel: "
            "convert the colours to ids and save an 8-bit grey or palette PNG"
        )


def read_rgbt(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """A 4-channel file (MFNet's form) as RGB (H, W, 3) uint8 and thermal (H, W) uint8, the fourth channel.

    Raises:
        DataError: the file cannot be decoded or has no fourth channel.
    """
    with _opened(path) as image:
        if image.mode != "RGBA":
            raise DataError(
                f"{path}: mode {image.mode}, expected RGBA with the thermal image in the fourth channel; "
                "with separate thermal files use the layout rgb/ thermal/ labels/"
            )
        if _png_bit_depth(image, path) == 16:
            raise DataError(f"{path}: 16-bit RGBA would be cut to 8 bits; save RGB and 16-bit thermal separately")
        values = np.array(_upright(image))
    return np.ascontiguousarray(values[..., :3]), np.ascontiguousarray(values[..., 3])


def read_pair(rgb: Path, thermal: Path) -> tuple[npt.NDArray[np.uint8], Counts]:
    """RGB (H, W, 3) uint8 and raw thermal values (H, W) of two files, or of one 4-channel file given twice.

    Raises:
        DataError: see `read_rgb`, `read_thermal_counts` and `read_rgbt`.
    """
    return read_rgbt(rgb) if thermal == rgb else (read_rgb(rgb), read_thermal_counts(thermal))


def check_depth(counts: Counts, dtype: str | None, path: Path | str = "thermal") -> None:
    """Refuse thermal values of another depth than `dtype`: counts of 8 and of 16 bits have different units.

    Raises:
        DataError: naming the file.
    """
    if dtype is not None and counts.dtype.name != dtype:
        raise DataError(
            f"{path}: thermal values of type {counts.dtype.name} where {dtype} is expected, as in training; convert "
            "the image to that depth and unit"
        )


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open an image and turn whatever Pillow raises, then or while decoding, into a one-line DataError."""
    try:
        with Image.open(path, formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(_too_large(path))
            if isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(_ORIENTATION_TAG, 1) != 1:
                raise DataError(f"{path}: a TIFF with an orientation tag; save it upright, without the tag")
            yield image
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(_too_large(path)) from error
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except UnidentifiedImageError as error:
        empty = path.stat().st_size == 0
        reason = "the file is empty (0 bytes)" if empty else "not a PNG, JPEG, TIFF or BMP image"
        raise DataError(f"{path}: {reason}; restore or remove it") from error
    except Exception as error:  # Pillow's decoders raise almost anything on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: cannot be read ({reason}); restore or remove it") from error


def _too_large(path: Path) -> str:
    return f"{path}: more than {MAX_PIXELS:,} pixels; cut the image into tiles first"


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8. PNG is asked only if its header holds EXIF; TIFF with the tag is refused."""
    if image.format == "JPEG" or (image.format == "PNG" and "exif" in image.info):
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    return 1


def _upright(image: Image.Image) -> Image.Image:
    return ImageOps.exif_transpose(image) if _orientation(image) != 1 else image


def _png_bit_depth(image: Image.Image, path: Path) -> int | None:
    """Bits a channel as written in a PNG header; None for other formats (Pillow does not tell)."""
    if image.format != "PNG":
        return None
    with path.open("rb") as file:
        return file.read(25)[24]


def as_uint16(values: npt.NDArray[Any], path: Path | str) -> npt.NDArray[np.uint16]:
    """Integer counts as uint16; DataError where they do not fit."""
    if values.min() < 0 or values.max() > 65535:
        raise DataError(f"{path}: thermal counts {values.min()}..{values.max()} do not fit 16 bits (0..65535)")
    return values.astype(np.uint16)


def _grey(values: npt.NDArray[np.uint8], tolerance: int, path: Path) -> npt.NDArray[np.uint8]:
    """The one channel of a grey image saved with three."""
    spread = int((values.max(axis=2) - values.min(axis=2)).max())
    if spread > tolerance:
        raise DataError(
            f"{path}: a thermal image with colours (channels differ by up to {spread}): a palette was "
            "burnt in and hides the temperatures; export it in grey (white hot), 8 or 16 bit"
        )
    return np.ascontiguousarray(values[..., 1])
