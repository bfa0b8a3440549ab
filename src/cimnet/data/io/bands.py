"""Images chosen band by band from files of any number of bands and any type: read by GDAL (extra `geo`)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cimnet.data.io import tiff_tags as tags
from cimnet.data.io.facts import read_facts
from cimnet.data.io.local_rasters import gdal_side_files
from cimnet.data.io.open_image import MAX_PIXELS, image_size, refuse_pipe, too_large
from cimnet.data.io.pixels import turned
from cimnet.data.io.tiff_tags import MAGIC, read_tiff
from cimnet.errors import ConfigError, DataError, one_line
from cimnet.utils.extras import require
from cimnet.utils.gdal import offline
from cimnet.utils.numbers import pluralize

_DRIVERS = {**dict.fromkeys(MAGIC, "GTiff"), b"\x89PNG": "PNG", b"\xff\xd8": "JPEG", b"BM": "BMP"}
"""GDAL's drivers by the first bytes of a file: formats that name no other file and no address."""

_PALETTE = (
    "a palette image, whose band holds places in the palette, not measured values; leave the choice of bands out, or "
    "write the values as grey"
)


@dataclass(frozen=True)
class Bands:
    """The bands of a file that hold the colours and the thermal image, counted from 1 as in GDAL.

    Attributes:
        rgb: red, green and blue; None: the file says; "embedded": the visible picture inside a radiometric FLIR JPEG.
        thermal: a number, or several of a second image of several channels; None: the only one, or the fourth of a
            4-channel file; "picture": the 8-bit picture of a radiometric JPEG in place of its temperatures.
        rgb_range: values that become 0 and 255; None: 8-bit colours as they are.

    Raises:
        ConfigError: a number below 1, a band twice, or an empty range.
    """

    rgb: tuple[int, int, int] | Literal["embedded"] | None = None
    thermal: int | tuple[int, ...] | Literal["picture"] | None = None
    rgb_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.thermal, tuple) and len(self.thermal) == 1:
            object.__setattr__(self, "thermal", self.thermal[0])  # one way to write one band
        if self.embedded and (self.thermal is not None or self.rgb_range is not None):
            raise ConfigError(
                "bands: rgb: embedded goes with no other choice of bands; leave thermal and rgb_range out"
            )
        if isinstance(self.rgb, str) and not self.embedded:
            raise ConfigError(f"bands: rgb is {self.rgb!r}, expected three numbers from 1, e.g. 3,2,1, or embedded")
        if isinstance(self.rgb, tuple) and (len(self.rgb) != 3 or min(self.rgb) < 1):
            raise ConfigError(f"bands: rgb is {list(self.rgb)}, expected three numbers from 1, e.g. 3,2,1")
        if isinstance(self.thermal, str) and not self.picture:
            raise ConfigError(f"bands: thermal is {self.thermal!r}, expected numbers from 1, e.g. 6 or 5,6, or picture")
        numbers = self.thermal_numbers or ()
        if self.thermal == () or min(numbers, default=1) < 1:
            raise ConfigError(f"bands: thermal is {self.thermal}, expected a number from 1")
        if len(set(numbers)) < len(numbers):
            raise ConfigError(f"bands: thermal is {list(numbers)}, which names a band twice; give each of them once")
        if self.rgb_range is not None and not -1e30 < self.rgb_range[0] < self.rgb_range[1] < 1e30:
            raise ConfigError(f"bands: rgb_range is {list(self.rgb_range)}, expected [low, high] with low below high")

    @property
    def embedded(self) -> bool:
        """Whether the RGB image is the visible picture inside a radiometric file."""
        return self.rgb == "embedded"

    @property
    def picture(self) -> bool:
        """Whether the thermal image is the 8-bit picture of a radiometric file."""
        return self.thermal == "picture"

    @property
    def thermal_numbers(self) -> tuple[int, ...] | None:
        """The bands of the thermal image; None where no band is chosen."""
        if self.thermal is None or isinstance(self.thermal, str):
            return None
        return self.thermal if isinstance(self.thermal, tuple) else (self.thermal,)

    @property
    def colours(self) -> bool:
        """Whether they say anything about colours."""
        return self.rgb is not None or self.rgb_range is not None


def parse_bands(rgb: str | None, thermal: str | None, rgb_range: str | None) -> Bands | None:
    """Bands of command-line options: "3,2,1" or "embedded"; "6", "5,6" or "picture"; "0,4095"; None where none is
    given.

    Raises:
        ConfigError: naming the option.
    """
    if rgb is None and thermal is None and rgb_range is None:
        return None
    try:
        numbers = None if rgb in (None, "embedded") else tuple(int(part) for part in rgb.split(","))
        ends = None if rgb_range is None else tuple(float(part) for part in rgb_range.split(","))
        if (numbers is not None and len(numbers) != 3) or (ends is not None and len(ends) != 2):
            raise ValueError
    except ValueError as error:
        raise ConfigError(
            f"--rgb-bands {rgb} --rgb-range {rgb_range}: expected three bands, e.g. 3,2,1, and two values, e.g. 0,4095"
        ) from error
    return Bands("embedded" if rgb == "embedded" else numbers, _parse_thermal(thermal), ends)


def _parse_thermal(text: str | None) -> tuple[int, ...] | Literal["picture"] | None:
    if text is None or text == "picture":
        return "picture" if text else None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--thermal-band {text}: expected a band, e.g. 6, or picture") from error


@dataclass(frozen=True)
class BandValues:
    """Bands as stored, (N, H, W), and what GDAL says of them; `missing` (N, H, W): nodata and masks."""

    values: npt.NDArray[Any]
    missing: npt.NDArray[np.bool_] | None
    scale: float
    offset: float
    unit: str


def read_rgb_bands(path: Path, bands: Bands) -> npt.NDArray[np.uint8]:
    """The colours (H, W, 3) uint8 of a file, black where it declares them missing.

    Raises:
        DataError: it cannot be read, lacks a band, or holds deep values without a range.
    """
    found = read_bands(path, bands.rgb if isinstance(bands.rgb, tuple) else (1, 2, 3))
    rgb = to_8_bit(np.moveaxis(found.values, 0, -1), bands.rgb_range, path)
    if found.missing is not None:
        rgb[found.missing.all(axis=0)] = 0
    return rgb


def to_8_bit(values: npt.NDArray[Any], ends: tuple[float, float] | None, path: Path | str) -> npt.NDArray[np.uint8]:
    """Colours as uint8: as they are, or with the values `ends` at 0 and 255.

    Raises:
        DataError: other values than uint8 without a range.
    """
    if ends is None:
        if values.dtype != np.uint8:
            raise DataError(
                f"{path}: RGB values of type {values.dtype} from {values.min()} to {values.max()}; say which become 0 "
                "and 255: --rgb-range LOW,HIGH, or `bands: {rgb_range: [LOW, HIGH]}` in classes.yaml"
            )
        return np.ascontiguousarray(values)
    low, high = ends
    scaled = (np.nan_to_num(values.astype(np.float32), nan=low) - low) * (255 / (high - low))
    return np.ascontiguousarray(np.rint(scaled.clip(0, 255)).astype(np.uint8))


def band_size(path: Path) -> tuple[int, int]:
    """(height, width) from the header of a file of which bands are chosen: a TIFF may have more than Pillow opens.

    Raises:
        DataError: see `image_size`.
    """
    tiff = read_tiff(path)
    height, width = tiff.number(tags.HEIGHT, 0), tiff.number(tags.WIDTH, 0)
    return (height, width) if height and width else image_size(path)


def read_bands(path: Path, numbers: tuple[int, ...], *, all_of_them: bool = False) -> BandValues:
    """Read some bands of a file.

    Args:
        all_of_them: the file must have no other bands, apart from opacity.

    Raises:
        DataError: it cannot be read, lacks a band or has too many, its bands differ in scale, offset or unit, or it
            says what GDAL does not apply; rasterio is not installed.
    """
    rasterio = require("rasterio", "geo", f"{path}: bands of a file")
    try:
        refuse_pipe(path)
        driver = _driver(path)
        orientation = _refuse_unapplied(path, driver)
        for side in gdal_side_files(path):
            if side.name.endswith(".aux.xml") and b"OVERVIEW_FILE" in side.read_bytes():
                raise DataError(f"{side}: names another file (OVERVIEW_FILE), which is not opened; remove it")
        with offline(), warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(path.absolute(), driver=driver) as file:
                if "OVERVIEW_FILE" in file.tags(ns="OVERVIEWS"):
                    raise DataError(f"{path}: names another file (OVERVIEW_FILE), which is not opened; write it again")
                if max(numbers) > file.count:
                    raise DataError(f"{path}: {pluralize(file.count, 'band')}, and band {max(numbers)} is asked for")
                if all_of_them:
                    alpha = rasterio.enums.ColorInterp.alpha in file.colorinterp
                    if file.count - alpha != len(numbers):
                        raise DataError(
                            f"{path}: {pluralize(file.count - alpha, 'band')}, where {len(numbers)} are expected; "
                            "choose them: --thermal-band 1,2, or `bands:` in classes.yaml"
                        )
                if file.width * file.height > MAX_PIXELS:
                    raise too_large(path)
                meanings = {(file.scales[n - 1], file.offsets[n - 1], file.units[n - 1] or "") for n in numbers}
                if len(meanings) > 1:
                    raise DataError(
                        f"{path}: its bands {', '.join(map(str, numbers))} differ in scale, offset or unit; write them "
                        "in one unit (gdal_translate -unscale, gdal_edit.py)"
                    )
                values = file.read(list(numbers))
                missing = missing_values(file, numbers, values)
                return BandValues(
                    _turned(values, orientation),
                    _turned(missing, orientation) if missing.any() else None,
                    *meanings.pop(),
                )
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; restore or remove it") from error
    except Exception as error:  # rasterio has several families of errors, none with a common base
        reason = one_line(error, 160)
        raise DataError(f"{path}: cannot be read ({reason}); restore or remove it") from error


def missing_values(
    file: Any, numbers: tuple[int, ...], values: npt.NDArray[Any], **options: Any
) -> npt.NDArray[np.bool_]:
    """Mark the values (N, H, W) of some bands of an opened file that its nodata value or its mask calls missing; GDAL's
    own masks follow one of both. Opacity is ignored, because the band with that tag may be the thermal one.

    Args:
        options: those of rasterio's `read` with which the values were read.
    """
    missing = np.zeros(values.shape, dtype=np.bool_)
    for band, found, number in zip(values, missing, numbers, strict=True):
        if (nodata := file.nodatavals[number - 1]) is not None:
            near = 4 * np.finfo(band.dtype).eps if band.dtype.kind == "f" else 0  # as GDAL does: a tag may be rounded
            found |= np.isclose(band, nodata, rtol=near, atol=0, equal_nan=True)
    if has_mask(file, numbers[0]):
        missing |= file.read_masks(list(numbers), **options) == 0
    return missing


def has_mask(file: Any, number: int) -> bool:
    """Whether an opened file has a mask, inside or beside it, that holds for this band; opacity is none."""
    from rasterio.enums import MaskFlags

    flags = file.mask_flag_enums[number - 1]
    return MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


def _driver(path: Path) -> str:
    start = _start(path)
    found = next((driver for magic, driver in _DRIVERS.items() if start.startswith(magic)), None)
    if found is None:
        raise DataError(f"{path}: not a TIFF, PNG, JPEG or BMP image, of which bands can be chosen; convert it")
    return found


def _turned(bands: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Bands (N, H, W) as EXIF's orientation says that they are to be seen."""
    return np.moveaxis(turned(np.moveaxis(bands, 0, -1), orientation), -1, 0)


def _refuse_unapplied(path: Path, driver: str) -> int:
    """EXIF's orientation, 1..8, which GDAL does not apply.

    Raises:
        DataError: the file says something else that GDAL does not apply.
    """
    if driver != "GTiff":
        facts = read_facts(path)
        if facts.palette:
            raise DataError(f"{path}: {_PALETTE}")
        if facts.maker not in ("", "FLIR without counts"):
            raise DataError(
                f"{path}: a radiometric JPEG, whose bands are those of its 8-bit picture, not temperatures; leave the "
                "choice of bands out, or take the picture (--thermal-band picture, `bands: {thermal: picture}`)"
            )
        return facts.orientation
    tiff = read_tiff(path)
    if tiff.number(tags.PHOTOMETRIC, 1) == 3:
        raise DataError(f"{path}: {_PALETTE}")
    if tiff.number(tags.ORIENTATION, 1) != 1:
        raise DataError(f"{path}: a TIFF with an orientation tag; save it upright, without the tag")
    if tiff.pages and tiff.number(tags.PHOTOMETRIC, 1) == 0:
        raise DataError(
            f"{path}: white is zero (photometric interpretation 0); set the tag to MINISBLACK, or invert it"
        )
    if len(tiff.pages) > 1:
        raise DataError(
            f"{path}: {pluralize(len(tiff.pages), 'page')} (images) in one TIFF; split it into files of one page"
        )
    return 1
