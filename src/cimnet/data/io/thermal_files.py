"""Thermal files as they come: 8 and 16 bit images, float TIFF, arrays of temperatures (.npy), radiometric FLIR JPEG;
second images of several channels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cimnet.data.io.bands import Bands, band_size, read_bands
from cimnet.data.io.facts import FileFacts, array_facts, facts_of, stated_unit
from cimnet.data.io.notices import notice
from cimnet.data.io.open_image import LOSSY, image_size, opened, refuse_pipe, upright
from cimnet.data.io.palettes import name_palette, undo_palette
from cimnet.data.io.pixels import Pixels, fill, mark
from cimnet.data.io.radiometric import maker, read_kelvin
from cimnet.data.io.readers import is_rgbt, read_rgb, read_rgbt
from cimnet.data.io.refusals import heed_unknown_unit
from cimnet.data.io.rules import apply_rules, refuse_by_rules
from cimnet.data.io.second_modality import THERMAL, SecondModality
from cimnet.data.io.thermal_scaling import Counts
from cimnet.data.io.units import convert_unit, name_unit
from cimnet.errors import DataError, one_line

_GREY_TOLERANCE = 16  # largest difference between "equal" channels of a JPEG, which rounds colours


@dataclass(frozen=True)
class Wanted:
    """The requirements of the caller's model or data set for thermal values.

    Attributes:
        unit: they are converted to it where the file's is known; None: they stay as they are.
        dtype: depth of the training images; converted values of "uint16" are rounded.
        declared: the unit of files that do not say one, where the data set does.
        bands: which bands of a file are which.
        second: what the second image is.
    """

    unit: str | None = None
    dtype: str | None = None
    declared: str | None = None
    bands: Bands | None = None
    second: SecondModality = THERMAL


def thermal_size(path: Path, wanted: Wanted | None = None) -> tuple[int, int]:
    """(height, width) of a thermal file: of the temperatures, where a JPEG holds them beside a picture.

    Raises:
        DataError: see `read_thermal_counts`.
    """
    wanted = wanted or Wanted()
    if path.suffix.lower() == ".npy":
        return _open_npy(path, wanted.second).shape[:2]
    if _numbers(wanted, path) is not None:
        return band_size(path)
    if wanted.bands is not None and wanted.bands.picture:
        return image_size(path)
    if path.suffix.lower() in (".jpg", ".jpeg", ".jfif") and is_radiometric(path):
        height, width = read_thermal_counts(path).shape
        return height, width
    return image_size(path)


def read_thermal_counts(path: Path, wanted: Wanted | None = None) -> Counts:
    """Read the raw values of a thermal file.

    It accepts one-channel 8-bit images, 16-bit PNG and TIFF, float TIFF, grey images saved with three channels,
    ``.npy`` arrays (floats as they are, for example degrees Celsius), and radiometric FLIR JPEG (kelvin; extra
    ``thermal``). What the file says about its values is obeyed or refused by ``cimnet.data.io.rules``.

    Args:
        path: the file.
        wanted: unit, type and bands that the caller needs. None: as the file has them.

    Returns:
        (H, W): uint8, uint16, int16 (if some are below zero) or float32. Of a second image of several channels (H, W,
        C): the bands of a file (extra ``geo``) or a ``.npy`` array of this shape. If the file declares pixels as
        missing, a ``numpy.ma.MaskedArray``, with the nearest values under its mask.

    Raises:
        DataError: the file cannot be decoded or obeyed, its colours differ (a palette was burnt into it), it has
            another number of channels, more than 5 % of its values are not finite and not declared as nodata, or it
            states a unit that is not known, where one is wanted or declared.
    """
    wanted = wanted or Wanted()
    facts, pixels = _decode(path, wanted)
    heed_unknown_unit(facts, wanted.unit or wanted.declared)
    pixels = apply_rules(pixels, facts, "thermal")
    return _counts(pixels, wanted, path)


def thermal_unit(path: Path, wanted: Wanted | None = None) -> str | None:
    """The unit of the values that `read_thermal_counts` returns, where the file says one; None where it says none.

    Raises:
        DataError: not an image.
    """
    wanted = wanted or Wanted()
    if path.suffix.lower() == ".npy":
        return None
    if (numbers := _numbers(wanted, path)) is not None:
        unit = name_unit(stated_unit(path, numbers[0]))
    else:
        with opened(path) as image:
            unit = _facts(image, path, wanted).unit
    return unit if unit is None or wanted.unit is None else wanted.unit


def read_pair(rgb: Path, thermal: Path, wanted: Wanted | None = None) -> tuple[npt.NDArray[np.uint8], Counts]:
    """RGB (H, W, 3) uint8 and raw thermal values (H, W) or (H, W, C) of two files, or of one 4-channel file given
    twice.

    Raises:
        DataError: see `read_rgb`, `read_thermal_counts` and `read_rgbt`.
    """
    bands = None if wanted is None else wanted.bands
    if is_rgbt(rgb, thermal, bands):
        if wanted is not None and wanted.second.channels > 1:
            raise DataError(
                f"{rgb}: given for both images, where {wanted.second} is expected; choose its bands (--thermal-band, "
                "or `bands:` in classes.yaml)"
            )
        return read_rgbt(rgb, bands)
    return read_rgb(rgb, bands, of_pair=True), read_thermal_counts(thermal, wanted)


def depth(counts: npt.NDArray[Any]) -> str:
    """ "uint8", "uint16" (16-bit integers, also of signed files) or "float32"."""
    return "uint16" if counts.dtype == np.int16 else counts.dtype.name


def check_depth(counts: Counts, dtype: str | None, path: Path | str = "thermal") -> None:
    """Refuse thermal values of another depth than `dtype`: counts of 8 and of 16 bits have different units.

    Raises:
        DataError: naming the file.
    """
    if dtype is not None and depth(counts) != dtype:
        remedy = (
            "`cimnet data convert DIR NEW --thermal scale --range LOW HIGH` scales the counts LOW to HIGH to 8 bits"
            if dtype == "uint8"
            else "convert the image to that depth and unit"
        )
        raise DataError(
            f"{path}: thermal values of type {counts.dtype.name} where {dtype} is expected, as in training; {remedy}"
        )


def to_unit(values: npt.NDArray[Any], unit: str | None, wanted: Wanted) -> npt.NDArray[Any]:
    """Thermal values of a unit in the one that is wanted, rounded if the depth wanted is 16 bits; as they are where one
    of both units is not known."""
    if unit is None or wanted.unit is None or (unit == wanted.unit and not _rounds(values, wanted)):
        return values
    converted = convert_unit(values, unit, wanted.unit)
    return np.rint(converted.astype(np.float64)).astype(np.int64) if wanted.dtype == "uint16" else converted


def as_counts(values: npt.NDArray[Any], path: Path | str) -> npt.NDArray[np.uint16] | npt.NDArray[np.int16]:
    """Integer counts as uint16, or as int16 where some are below zero; DataError where they do not fit."""
    low, high = values.min(), values.max()
    if low < 0 and low >= -32768 and high <= 32767:
        return values.astype(np.int16)
    if low < 0 or high > 65535:
        raise DataError(f"{path}: thermal counts {low}..{high} do not fit 16 bits (0..65535, or -32768..32767)")
    return values.astype(np.uint16)


def is_radiometric(path: Path) -> bool:
    """Whether a JPEG carries FLIR's temperature record beside its picture."""
    with opened(path) as image:
        return maker(image).startswith("FLIR")


def _decode(path: Path, wanted: Wanted) -> tuple[FileFacts, Pixels]:
    """Read the facts about a file, and its channel or its channels (H, W, C), as stored but upright."""
    if path.suffix.lower() == ".npy":
        values = np.array(_open_npy(path, wanted.second))
        if _numbers(wanted, path) not in (None, tuple(range(1, wanted.second.channels + 1))):
            raise DataError(f"{path}: bands are chosen of image files, not of arrays; save those alone")
        return array_facts(path, values), Pixels(values)
    if (numbers := _numbers(wanted, path)) is not None:
        return _decode_bands(path, numbers, chosen=wanted.bands is not None and wanted.bands.thermal is not None)
    with opened(path) as image:
        facts = _facts(image, path, wanted)
        refuse_by_rules(facts, "thermal")
        if facts.maker.startswith("FLIR"):
            return facts, Pixels(read_kelvin(path))
        if image.mode == "1":
            raise DataError(f"{path}: a 1-bit image holds two values only; save thermal images with 8 or 16 bits")
        picture = upright(image)
        clear = _transparent(picture)
        values = _one_channel(picture, facts, wanted)
    pixels = Pixels(values)
    return facts, pixels if clear is None else mark(pixels, clear)


def _facts(image: Image.Image, path: Path, wanted: Wanted) -> FileFacts:
    """The facts about an opened image: of the temperatures inside, unless its picture is wanted."""
    facts = facts_of(image, path)
    if wanted.bands is not None and wanted.bands.picture:
        return replace(facts, maker="")
    return replace(facts, unit="kelvin") if facts.maker.startswith("FLIR") else facts


def _numbers(wanted: Wanted, path: Path) -> tuple[int, ...] | None:
    """The bands of a file that are its second image; None: it is an image of one channel, of which none is chosen.

    Raises:
        DataError: another number of bands is chosen than the second image has channels.
    """
    second = wanted.second
    numbers = None if wanted.bands is None else wanted.bands.thermal_numbers
    if numbers is None:
        return None if second.channels == 1 else tuple(range(1, second.channels + 1))
    if len(numbers) != second.channels:
        raise DataError(f"{path}: the bands {', '.join(map(str, numbers))} are chosen, where {second} is expected")
    return numbers


def _decode_bands(path: Path, numbers: tuple[int, ...], chosen: bool) -> tuple[FileFacts, Pixels]:
    """The bands (H, W) or (H, W, C); those that nobody chose must be all that there are."""
    found = read_bands(path, numbers, all_of_them=not chosen)
    values, missing = (None if part is None else _last(part) for part in (found.values, found.missing))
    assert values is not None
    kind = {"u": "unsigned", "i": "signed", "f": "float"}.get(values.dtype.kind)
    if kind is None:
        raise DataError(
            f"{path}: bands {', '.join(map(str, numbers))} hold values of type {values.dtype}, expected integers or "
            "floats"
        )
    facts = FileFacts(
        path,
        "GDAL",
        values.shape[0],
        values.shape[1],
        bits=8 * values.dtype.itemsize,
        sign=kind,  # type: ignore[arg-type]  # one of the three above, which mypy takes for any text
        scale=found.scale,
        offset=found.offset,
        unit=name_unit(found.unit),
        unit_text=found.unit,
    )
    return facts, Pixels(values, missing)


def _last(bands: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Bands (C, H, W) as (H, W, C), a single one as (H, W)."""
    return bands[0] if len(bands) == 1 else np.ascontiguousarray(np.moveaxis(bands, 0, 2))


def _transparent(image: Image.Image) -> npt.NDArray[np.bool_] | None:
    """Mark the pixels where the opacity channel is 0; None if the image has no such channel."""
    if image.mode not in ("LA", "RGBA"):
        return None
    clear = np.array(image.getchannel("A")) == 0
    return clear if clear.any() else None


def _one_channel(picture: Image.Image, facts: FileFacts, wanted: Wanted) -> npt.NDArray[Any]:
    """The grey values of an opened image as stored."""
    if picture.mode == "L":
        values = np.array(picture)
        if facts.white_is_zero:  # which Pillow applies to 8 bits and fewer, and to no others
            values = np.uint8(255) - values
        return values.view(np.int8).astype(np.int16) if facts.sign == "signed" else values
    if picture.mode == "F":
        return np.array(picture, dtype=np.float32)
    if picture.mode.startswith("I"):
        return np.array(picture)
    if picture.mode == "LA":
        return np.array(picture.getchannel("L"))
    tolerance = _GREY_TOLERANCE if facts.format in LOSSY or facts.lossy else 0
    return _grey(np.array(picture.convert("RGB")), tolerance, facts.path, wanted)


def _counts(pixels: Pixels, wanted: Wanted, path: Path) -> Counts:
    """Values in the unit wanted and of one of the four types, masked where they are missing."""
    values, missing = pixels.values, pixels.missing
    if missing is not None and not missing.any():
        missing = None
    if missing is not None:
        values = fill(values, missing)
    values = to_unit(values, pixels.unit or wanted.declared, wanted)
    if values.dtype.kind == "f":
        values = values.astype(np.float32, copy=False)
    elif values.dtype != np.uint8:
        values = as_counts(values, path)
    return values if missing is None else np.ma.MaskedArray(values, missing)


def _rounds(values: npt.NDArray[Any], wanted: Wanted) -> bool:
    """Whether values of the right unit are of another depth than wanted, which is that of rounding alone."""
    return (wanted.dtype, values.dtype.kind) in (("uint16", "f"), ("float32", "u"), ("float32", "i"))


def _open_npy(path: Path, second: SecondModality) -> npt.NDArray[Any]:
    try:
        refuse_pipe(path)
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except DataError:
        raise
    except Exception as error:  # numpy raises many kinds on damaged files
        reason = one_line(error, 120)
        raise DataError(f"{path}: cannot be read as a .npy array ({reason}); save it with numpy.save") from error
    more = () if second.channels == 1 else (second.channels,)
    shape, dtype = getattr(values, "shape", None), getattr(values, "dtype", None)
    right = isinstance(values, np.ndarray) and values.size and values.ndim == 2 + len(more) and values.shape[2:] == more
    if not right or values.dtype.kind not in "uif":
        expected = "(H, W)" if not more else f"(H, W, {second.channels}) of {second}"
        raise DataError(f"{path}: an array {shape} of {dtype}; expected numbers {expected}")
    return values


def _grey(values: npt.NDArray[np.uint8], tolerance: int, path: Path, wanted: Wanted) -> npt.NDArray[np.uint8]:
    """The one channel of a grey image saved with three, or the places of its colours on a palette."""
    spread = int((values.max(axis=2) - values.min(axis=2)).max())
    if spread > tolerance:
        undone = undo_palette(values) if tolerance == 0 else None
        if undone is not None:
            return _places(*undone, path, wanted)
        name = name_palette(values)
        which = (
            f"a palette much like '{name}' was burnt in" if name else "a palette was burnt in, or it is an RGB image"
        )
        raise DataError(
            f"{path}: a thermal image with colours (channels differ by up to {spread}), which hide the temperatures: "
            f"{which}; export it in grey (white hot), 8 or 16 bit"
        )
    return np.ascontiguousarray(values[..., 1])


def _places(name: str, places: npt.NDArray[np.uint8], path: Path, wanted: Wanted) -> npt.NDArray[np.uint8]:
    """The places of an image's colours on the palette `name`, which are said to be no temperatures.

    Raises:
        DataError: temperatures are wanted.
    """
    said = f"{path}: a picture in the palette '{name}'"
    if wanted.unit is not None:
        raise DataError(
            f"{said}, whose colours are relative intensities, where temperatures ({wanted.unit}) are expected; give "
            "radiometric files"
        )
    notice(
        f"{said}: read as the places of its colours on it (0 to 255, the last one hottest); these intensities are "
        "relative, not temperatures, and differ from picture to picture where the camera sets its gain itself"
    )
    return places
