"""Two rasters, read window by window as a model wants them: on the RGB grid, missing pixels at 0."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import ColorInterp, Resampling
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from cimnet.checkpoint import ModelInfo
from cimnet.data.io.readers import same_file
from cimnet.data.io.thermal_files import as_uint16, check_depth
from cimnet.data.io.thermal_scaling import Counts, ThermalScaling
from cimnet.deploy.geo.grids import same_grid
from cimnet.deploy.geo.local_rasters import driver_of, raster_files
from cimnet.errors import DataError
from cimnet.utils.numbers import pluralize

Image = npt.NDArray[Any]
Known = npt.NDArray[np.bool_]
DECIMATED = 2048
"""Longest side, pixels, of the reduced image that stands for a whole raster where its values are looked at."""
_WARP_MEMORY = 64  # MB


@dataclass(frozen=True)
class RasterPair:
    """An opened pair.

    Attributes:
        rgb: 3 bands, or 4 with opacity, or 4 with the thermal image as the fourth.
        thermal: on the grid of `rgb`, reprojected on the fly where it has another.
        band: of `thermal`.
        scaling: of the thermal values; of the kind "gain_control" it is the range of the whole raster.
        require_both: pixels that one sensor does not show count as missing.
    """

    rgb: DatasetReader
    thermal: DatasetReader | WarpedVRT
    band: int
    scaling: ThermalScaling
    require_both: bool

    def known(self, top: int, left: int, height: int, width: int) -> Known:
        """Which pixels of a window are to get a class, (height, width)."""
        window = Window(left, top, width, height)
        seen = self._rgb_known(window)
        if self.require_both and not seen.any():
            return seen
        felt = self._thermal(window)[1]
        return seen & felt if self.require_both else seen | felt

    def read(self, top: int, left: int, height: int, width: int) -> tuple[Image, Image] | None:
        """RGB (height, width, 3) uint8 and thermal (height, width) float32 in 0..1; None: nothing to see.

        Raises:
            DataError: a file cannot be read there.
        """
        window = Window(left, top, width, height)
        seen = self._rgb_known(window)
        if self.require_both and not seen.any():
            return None
        counts, felt = self._thermal(window)
        if not (seen & felt if self.require_both else seen | felt).any():
            return None
        with reading(self.rgb.name):
            rgb = self.rgb.read([1, 2, 3], window=window) * seen
        heat = self.scaling(counts, self.thermal.name) * felt
        return np.moveaxis(rgb, 0, -1), heat

    def _rgb_known(self, window: Window) -> Known:
        with reading(self.rgb.name):
            if self.thermal is self.rgb:  # GDAL takes the thermal band for opacity
                known = _differs(self.rgb.read([1, 2, 3], window=window), self.rgb.nodata)
            elif self.rgb.count == 4:
                known = self.rgb.read([4], window=window) > 0
            else:
                known = self.rgb.read_masks([1, 2, 3], window=window) > 0
        return np.logical_or.reduce(known, axis=0)

    def _thermal(self, window: Window) -> tuple[Counts, Known]:
        with reading(self.thermal.name):
            return read_counts(self.thermal, self.band, self.thermal.name, window=window)


@contextmanager
def open_pair(
    rgb: Path, thermal: Path, info: ModelInfo, require_both: bool, warn: Callable[[str], object]
) -> Iterator[RasterPair]:
    """Open and check two rasters, or one of four bands given twice.

    Raises:
        DataError: see :func:`cimnet.deploy.geo.predict_geotiff`.
    """
    with ExitStack() as stack:
        colour = stack.enter_context(_opened(rgb))
        if same_file(rgb, thermal):
            _check_four_bands(colour)
            heat, band = colour, 4
        else:
            heat, band = stack.enter_context(_opened(thermal)), 1
            _check_rgb(colour)
            _check_thermal(heat)
        scaling = _scaling(heat, band, info)
        if heat is not colour and not same_grid(colour, heat, warn):
            heat = stack.enter_context(_reprojected(heat, colour))
        elif heat is colour and colour.crs is None:
            warn(f"{rgb}: no coordinate reference system; the output will have none either")
        yield RasterPair(colour, heat, band, scaling, require_both)


def read_counts(raster: DatasetReader | WarpedVRT, band: int, name: str, **options: Any) -> tuple[Counts, Known]:
    """Raw thermal values, 0 where there are none, and where there are some. Options as of rasterio's `read`.

    Raises:
        DataError: counts that do not fit 16 bits.
    """
    values = raster.read(band, **options)
    if band > 1:
        known = _differs(values, raster.nodata)
    elif raster.count == 2:
        known = raster.read(2, **options) > 0
    else:
        known = raster.read_masks(band, **options) > 0
    if values.dtype.kind == "f":
        known &= np.isfinite(values)
        return np.where(known, values, 0).astype(np.float32), known
    values = np.where(known, values, 0).astype(values.dtype)
    return (values if values.dtype == np.uint8 else as_uint16(values, name)), known


def _differs(values: Image, nodata: float | None) -> Known:
    return np.ones(values.shape, dtype=np.bool_) if nodata is None else values != nodata


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn whatever GDAL raises into a one-line DataError."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # rasterio has several families of errors, none with a common base
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise DataError(f"{name}: cannot be read ({reason}); truncated or damaged? Restore it") from error


@contextmanager
def _opened(path: Path) -> Iterator[DatasetReader]:
    raster_files(path)  # each of them a local GeoTIFF
    with warnings.catch_warnings(), reading(str(path)):
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)  # `same_grid` says it
        raster = rasterio.open(path.absolute(), driver=driver_of(path))
    with raster:
        yield raster


def _reprojected(thermal: DatasetReader, rgb: DatasetReader) -> WarpedVRT:
    missing: dict[str, Any] = {}
    if thermal.nodata is None and thermal.dtypes[0].startswith("float"):
        missing = {"src_nodata": np.nan, "nodata": np.nan}
    elif thermal.nodata is None and thermal.count == 1:
        missing = {"add_alpha": True}
    with reading(thermal.name):
        return WarpedVRT(
            thermal,
            crs=rgb.crs,
            transform=rgb.transform,
            width=rgb.width,
            height=rgb.height,
            resampling=Resampling.bilinear,
            warp_mem_limit=_WARP_MEMORY,
            **missing,
        )


def _check_rgb(raster: DatasetReader) -> None:
    opaque = raster.count == 4 and raster.colorinterp[3] == ColorInterp.alpha
    if raster.count != 3 and not opaque:
        raise DataError(
            f"{raster.name}: {pluralize(raster.count, 'band')}, expected red, green, blue and at most opacity; "
            "choose three with gdal_translate -b 1 -b 2 -b 3 (one file of RGB and thermal bands: give it for both)"
        )
    _check_colour_depth(raster)


def _check_colour_depth(raster: DatasetReader) -> None:
    if set(raster.dtypes[:3]) != {"uint8"}:
        raise DataError(
            f"{raster.name}: RGB values of type {raster.dtypes[0]}, expected uint8; convert with "
            "gdal_translate -ot Byte -scale LOW HIGH 0 255"
        )


def _check_thermal(raster: DatasetReader) -> None:
    opaque = raster.count == 2 and raster.colorinterp[1] == ColorInterp.alpha
    if raster.count != 1 and not opaque:
        raise DataError(
            f"{raster.name}: {pluralize(raster.count, 'band')}, expected one thermal band and at most opacity; choose "
            "it with gdal_translate -b N"
        )


def _check_four_bands(raster: DatasetReader) -> None:
    if raster.count != 4:
        raise DataError(
            f"{raster.name}: {pluralize(raster.count, 'band')}; given for RGB and thermal it needs four, the thermal "
            "image last"
        )
    _check_colour_depth(raster)
    with reading(raster.name):
        values = raster.read(4, **_decimated(raster))
    if np.isin(values, (0, 255)).all() and values.max() == 255:
        raise DataError(f"{raster.name}: the fourth band is opacity (0 and 255 only), not a thermal image")


def _scaling(raster: DatasetReader, band: int, info: ModelInfo) -> ThermalScaling:
    """How the raster's values become 0..1; checked before anything is run."""
    with reading(raster.name):
        counts, known = read_counts(raster, band, raster.name, **_decimated(raster))
    check_depth(counts, info.thermal_dtype, raster.name)
    if info.scaling.kind == "gain_control" and known.any():
        assert info.scaling.low is not None  # the kind has both
        assert info.scaling.high is not None
        low, high = (float(v) for v in np.percentile(counts[known], (info.scaling.low, info.scaling.high)))
        return ThermalScaling("range", low, max(high, low + 1e-6))
    info.scaling(counts[:1, :1], raster.name)  # float values without a range
    return info.scaling


def _decimated(raster: DatasetReader) -> dict[str, Any]:
    ratio = max(1.0, max(raster.shape) / DECIMATED)
    return {"out_shape": tuple(max(1, round(side / ratio)) for side in raster.shape)}
