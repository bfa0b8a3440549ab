"""Decoded pixels, and how what a file says changes them: the functions that `cimnet.data.io.rules` applies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cimnet.data.io.facts import FileFacts
from cimnet.data.io.notices import notice
from cimnet.data.io.open_image import opened
from cimnet.errors import DataError

FEW = 0.05
"""Share of the pixels of a thermal image that may be invalid without being declared so: these are filled."""


@dataclass(frozen=True)
class Pixels:
    """Decoded pixels: values (H, W) or (H, W, C) as stored, a mask of missing pixels, (H, W) or in the shape of thermal
    values, and the unit of thermal values."""

    values: npt.NDArray[Any]
    missing: npt.NDArray[np.bool_] | None = None
    unit: str | None = None


def invert(pixels: Pixels, facts: FileFacts) -> Pixels:
    """Turn values round whose zero is white."""
    top = np.array(2 ** max(facts.bits, 8) - 1, pixels.values.dtype)  # Pillow stretches fewer than 8 bits
    return replace(pixels, values=top - pixels.values)


def order_colours(pixels: Pixels, facts: FileFacts) -> Pixels:
    """Put the first three channels of (H, W, C) into the order red, green, blue."""
    values = pixels.values.copy()
    values[..., :3] = pixels.values[..., [facts.band_colours.index(name) for name in ("red", "green", "blue")]]
    return replace(pixels, values=values)


def _nodata(facts: FileFacts) -> float:
    """The value of missing pixels, as it is after Pillow stretched fewer than 8 bits, and white and black were
    exchanged."""
    assert facts.nodata is not None
    nodata = facts.nodata * (255 // (2**facts.bits - 1) if facts.bits < 8 else 1)
    return 2 ** max(facts.bits, 8) - 1 - nodata if facts.white_is_zero else nodata


def _equals(values: npt.NDArray[Any], nodata: float) -> npt.NDArray[np.bool_]:
    if np.isnan(nodata):
        return np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, np.bool_)
    if values.dtype == np.float32:
        return values == np.float32(nodata)
    return values == nodata


def colours_missing(values: npt.NDArray[Any], facts: FileFacts) -> npt.NDArray[np.bool_]:
    """Mark the pixels (H, W) of colours whose three channels all hold the value that the file declares as nodata."""
    same: npt.NDArray[np.bool_] = np.logical_and.reduce(_equals(values[..., :3], _nodata(facts)), axis=2)
    return same


def blacken_nodata(pixels: Pixels, facts: FileFacts) -> Pixels:
    """Make pixels black whose three colours all have the nodata value."""
    return blacken(pixels, colours_missing(pixels.values, facts))


def blacken(pixels: Pixels, missing: npt.NDArray[np.bool_]) -> Pixels:
    """Make the pixels black that are `missing` (H, W)."""
    values = pixels.values.copy()
    values[missing, :3] = 0
    return replace(pixels, values=values)


def mark_nodata(pixels: Pixels, facts: FileFacts) -> Pixels:
    """Mark values that equal nodata as missing."""
    return mark(pixels, _equals(pixels.values, _nodata(facts)))


def nodata_of_both(pixels: Pixels, facts: FileFacts) -> Pixels:
    """Make pixels of a 4-channel file black where all colours are nodata, missing where the thermal value is."""
    return mark(blacken_nodata(pixels, facts), _equals(pixels.values[..., 3], _nodata(facts)))


def mark(pixels: Pixels, missing: npt.NDArray[np.bool_]) -> Pixels:
    """Pixels with these missing, too."""
    return replace(pixels, missing=missing if pixels.missing is None else pixels.missing | missing)


def masked_out(facts: FileFacts) -> npt.NDArray[np.bool_]:
    """Mark the pixels (H, W) where a file's mask is 0. The mask is a page of the file, or the file beside it.

    Raises:
        DataError: the file beside it is no mask of this image.
    """
    if isinstance(facts.mask, Path):
        return _mask_beside(facts, facts.mask)
    assert facts.mask is not None
    with Image.open(facts.path, formats=("TIFF",)) as image:
        image.seek(facts.mask)
        return np.array(image.convert("L")) == 0


def _mask_beside(facts: FileFacts, path: Path) -> npt.NDArray[np.bool_]:
    with opened(path) as image:
        if image.mode not in ("1", "L") or image.format != "TIFF" or getattr(image, "n_frames", 1) > 1:
            raise DataError(f"{path}: lies beside {facts.path.name} and is not a TIFF of one 8-bit mask; remove it")
        missing = np.array(image.convert("L")) == 0
    if missing.shape != (facts.height, facts.width) or facts.orientation != 1:
        size = f"{missing.shape[1]}x{missing.shape[0]}"
        raise DataError(
            f"{path}: the mask of {facts.path.name}, which is {facts.width}x{facts.height} (orientation "
            f"{facts.orientation}), is {size}; write both again, upright and of one size, or remove the mask"
        )
    return missing


def scale(pixels: Pixels, facts: FileFacts) -> Pixels:
    """Apply the file's scale and offset; the result is float32."""
    values = pixels.values.astype(np.float64) * facts.scale + facts.offset
    return replace(pixels, values=values.astype(np.float32))


def turn(pixels: Pixels, facts: FileFacts) -> Pixels:
    """Turn the arrays that were decoded beside the picture; the picture itself is turned while it is decoded."""
    if facts.maker != "FLIR":
        return pixels
    return replace(pixels, values=turned(pixels.values, facts.orientation))


def turned(values: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """An array (H, W) or (H, W, C) as EXIF's orientation 1..8 says that it is to be seen."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return np.ascontiguousarray(values)


def take_unit(pixels: Pixels, facts: FileFacts) -> Pixels:
    """Note the unit that the file states."""
    return replace(pixels, unit=facts.unit)


def fill_invalid(pixels: Pixels, facts: FileFacts) -> Pixels:
    """Few pixels that are not finite get their nearest value; many are refused with their number."""
    if pixels.values.dtype.kind != "f":
        return pixels
    invalid = ~np.isfinite(pixels.values)
    if pixels.missing is not None:
        invalid &= ~pixels.missing
    count = int(invalid.sum())
    if not count:
        return pixels
    share = count / invalid.size
    said = f"{facts.path}: {count:,} of {invalid.size:,} thermal values are not finite (NaN or infinite)"
    if share > FEW:
        raise DataError(
            f"{said}, {100 * share:.0f}%; fill them, or declare them as nodata (gdal_edit.py -a_nodata nan FILE)"
        )
    notice(f"{said}; they were filled with their nearest values")
    return replace(pixels, values=fill(pixels.values, invalid))


def first_channel(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """An image (H, W), or the first channel (H, W) of (H, W, C): what is drawn of a second image of several channels
    and compared with RGB."""
    return values if values.ndim == 2 else values[..., 0]


def fill(values: npt.NDArray[Any], missing: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """The values (H, W), or (H, W, C), with those that are missing replaced by the nearest that are there in their
    channel; 0 where none is."""
    if values.ndim == 3:
        return np.stack([fill(values[..., k], missing[..., k]) for k in range(values.shape[2])], axis=2)
    if not missing.any():
        return values
    if missing.all():
        return np.zeros_like(values)
    from scipy.ndimage import distance_transform_edt  # here: it takes a while, and few images have gaps

    rows, columns = distance_transform_edt(missing, return_distances=False, return_indices=True)
    return np.ascontiguousarray(values[rows, columns])
