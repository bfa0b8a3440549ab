"""Read two rasters window by window, on the RGB grid, with missing pixels at 0."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import Resampling
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from cimnet.checkpoint import ModelInfo
from cimnet.data.io.bands import Bands, has_mask, missing_values, to_8_bit
from cimnet.data.io.local_rasters import driver_of, raster_files
from cimnet.data.io.readers import same_file
from cimnet.data.io.thermal_files import as_counts, check_depth
from cimnet.data.io.thermal_scaling import DECLARE, Counts, ThermalScaling, find_padding
from cimnet.deploy.geo.grids import check_place, on_one_map, same_grid
from cimnet.deploy.geo.raster_facts import (
    ThermalBands,
    alpha_band,
    check_raster,
    colour_bands,
    meaning,
    thermal_bands,
)
from cimnet.errors import DataError, one_line
from cimnet.inference.images import wanted
from cimnet.utils.numbers import value_range

Image = npt.NDArray[Any]
Known = npt.NDArray[np.bool_]
DECIMATED = 2048
"""Longest side, pixels, of the reduced image that stands for a whole raster when its values are examined."""
_WARP_MEMORY = 64  # MB


@dataclass(frozen=True)
class RasterPair:
    """An opened pair.

    Attributes:
        rgb: with its red, green and blue bands (`colours`), and opacity (`alpha`) where it has it.
        colour_range: values of the colours that become 0 and 255; None: they have 8 bits.
        thermal: on the grid of `rgb`, reprojected on the fly where it has another.
        bands: of `thermal`, and what their values mean.
        scaling: of the thermal values; of the kind "gain_control" it is the range of the whole raster.
        require_both: pixels that one sensor does not show count as missing.
    """

    rgb: DatasetReader
    colours: tuple[int, int, int]
    alpha: int | None
    colour_range: tuple[float, float] | None
    thermal: DatasetReader | WarpedVRT
    bands: ThermalBands
    scaling: ThermalScaling
    require_both: bool

    def known(self, top: int, left: int, height: int, width: int) -> Known:
        """Mark the pixels of a window that get a class, (height, width)."""
        window = Window(left, top, width, height)
        seen = self._rgb_known(window)
        if self.require_both and not seen.any():
            return seen
        felt = _anything(self._thermal(window)[1])
        return seen & felt if self.require_both else seen | felt

    def read(self, top: int, left: int, height: int, width: int) -> tuple[Image, Image] | None:
        """RGB (height, width, 3) uint8 and thermal (height, width) float32 in 0..1, of several channels (height, width,
        C); None: nothing to see.

        Raises:
            DataError: a file cannot be read there.
        """
        window = Window(left, top, width, height)
        seen = self._rgb_known(window)
        if self.require_both and not seen.any():
            return None
        counts, there = self._thermal(window)
        felt = _anything(there)
        if not (seen & felt if self.require_both else seen | felt).any():
            return None
        with reading(self.rgb.name):
            rgb = to_8_bit(self.rgb.read(list(self.colours), window=window), self.colour_range, self.rgb.name) * seen
        heat = self.scaling(counts, self.thermal.name) * there
        return np.moveaxis(rgb, 0, -1), heat

    def _rgb_known(self, window: Window) -> Known:
        with reading(self.rgb.name):
            values = self.rgb.read(list(self.colours), window=window)
            known = _known(self.rgb, self.colours, values, self.alpha, window=window)
        return np.logical_or.reduce(known, axis=0)

    def _thermal(self, window: Window) -> tuple[Counts, Known]:
        with reading(self.thermal.name):
            return read_counts(self.thermal, self.bands, self.thermal.name, window=window)


@contextmanager
def open_pair(
    rgb: Path,
    thermal: Path,
    info: ModelInfo,
    require_both: bool,
    warn: Callable[[str], object],
    bands: Bands | None = None,
    force_range: bool = False,
    unit: str | None = None,
) -> Iterator[RasterPair]:
    """Open and check two rasters, or one given twice; `unit` is that of a thermal raster that states none.

    Raises:
        DataError: see :func:`cimnet.deploy.geo.predict_geotiff`.
    """
    with ExitStack() as stack:
        colour = stack.enter_context(_opened(rgb))
        fused = same_file(rgb, thermal)
        heat = colour if fused else stack.enter_context(_opened(thermal))
        numbers = thermal_bands(heat, bands, fused, info.second)
        chosen = meaning(heat, numbers, wanted(info, bands, unit))
        if colour.count < 3:  # a palette, for example, says so better than the number of its bands
            check_raster(colour, "raster_rgb")
        colours = colour_bands(colour, bands)
        for number in colours:
            check_raster(colour, "raster_rgb", number)
        check_place(colour, heat)
        check_place(heat, colour)
        colour_range = None if bands is None else bands.rgb_range
        if colour_range is None:
            _check_colour_depth(colour, colours)
        if fused and numbers == (4,):
            _check_fourth_band(colour)
        scaling = _scaling(heat, chosen, info, warn, force_range)
        if not fused and not same_grid(colour, heat, warn):
            heat, chosen = _reprojected(heat, colour, chosen, stack)
        elif fused and colour.crs is None:
            warn(f"{rgb}: no coordinate reference system; the output will have none either")
        alpha = alpha_band(colour, (*colours, *numbers) if fused else colours)
        yield RasterPair(colour, colours, alpha, colour_range, heat, chosen, scaling, require_both)


def read_counts(
    raster: DatasetReader | WarpedVRT, bands: ThermalBands, name: str, **options: Any
) -> tuple[Counts, Known]:
    """Thermal values in the unit of the checkpoint where that is known, 0 where there are none, and where there are
    some: (H, W) both, of several channels (H, W, C). Options as of rasterio's `read`.

    Raises:
        DataError: counts that do not fit 16 bits.
    """
    numbers = list(bands.numbers)
    stored = raster.read(numbers, **options)
    known = _known(raster, bands.numbers, stored, bands.alpha, **options)
    if len(numbers) == 1:
        stored, known = stored[0], known[0]
    else:
        stored, known = np.moveaxis(stored, 0, 2), np.moveaxis(known, 0, 2)
    values = bands(np.where(known, stored, 0).astype(stored.dtype))
    if values.dtype.kind == "f":
        return np.where(known, values, 0).astype(np.float32), known
    values = np.where(known, values, 0).astype(values.dtype)
    if values.dtype == np.uint8:
        return values.astype(np.uint8, copy=False), known
    return as_counts(values, name), known


def _known(
    raster: DatasetReader | WarpedVRT, numbers: tuple[int, ...], values: Image, alpha: int | None, **options: Any
) -> Known:
    """Mark the values (N, H, W) of some bands that are finite and that nothing calls missing: neither nodata nor a mask
    nor the band of opacity `alpha`. Options: those of rasterio's `read` with which the values were read."""
    known = np.isfinite(values) & ~missing_values(raster, numbers, values, **options)
    return known if alpha is None else known & (raster.read([alpha], **options) > 0)


def _anything(known: Known) -> Known:
    """Pixels (H, W) of which at least one channel is known."""
    return known if known.ndim == 2 else np.logical_or.reduce(known, axis=2)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn whatever GDAL raises into a one-line DataError."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # rasterio has several families of errors, none with a common base
        reason = one_line(error, 160)
        raise DataError(f"{name}: cannot be read ({reason}); truncated or damaged? Restore it") from error


@contextmanager
def _opened(path: Path) -> Iterator[DatasetReader]:
    raster_files(path)  # each of them a local GeoTIFF
    with warnings.catch_warnings(), reading(str(path)):
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)  # `check_place` says it
        raster = rasterio.open(path.absolute(), driver=driver_of(path))
    with raster:
        yield raster


def _reprojected(
    thermal: DatasetReader, rgb: DatasetReader, bands: ThermalBands, stack: ExitStack
) -> tuple[WarpedVRT, ThermalBands]:
    """The thermal raster on the grid of the RGB raster, open until `stack` closes, and its bands there: what lies
    beside it is missing.

    Raises:
        DataError: it cannot be read; one of the bands is tagged as opacity, by which GDAL would weight the others; or
            it has both a mask and opacity, of which GDAL would obey one.
    """
    opacity = alpha_band(thermal)
    if opacity in bands.numbers:
        raise DataError(
            f"{thermal.name}: band {opacity} is tagged as opacity and cannot be resampled as an image; remove the tag "
            f"with gdal_edit.py -colorinterp_{opacity} undefined FILE"
        )
    first = bands.numbers[0] - 1  # what is said of one of them is said of all, see `meaning`
    nodata = thermal.nodatavals[first]
    if nodata is None and thermal.dtypes[first].startswith("float"):
        nodata = np.nan
    masked = has_mask(thermal, bands.numbers[0])
    if masked and opacity is not None:
        raise DataError(
            f"{thermal.name}: it has a mask and a band of opacity, and only one of them can be resampled; remove one: "
            f"gdal_translate -b {bands.numbers[0]} -mask {opacity} IN OUT keeps the opacity, -mask mask keeps the mask"
        )
    missing: dict[str, Any] = {}
    if nodata is not None:  # GDAL writes it, too, where opacity is 0
        missing, bands = {"src_nodata": nodata, "nodata": nodata}, replace(bands, alpha=None)
    elif opacity is None:
        missing, bands = {"add_alpha": True}, replace(bands, alpha=thermal.count + 1)
    grid, source = on_one_map(rgb, thermal)
    if source.crs != thermal.crs:
        missing |= {"src_crs": source.crs, "src_transform": source.transform}
    with reading(thermal.name):
        if masked and nodata is not None:  # beside nodata GDAL obeys opacity, but no mask
            thermal = stack.enter_context(_with_opacity(thermal))
        vrt = WarpedVRT(
            thermal,
            crs=grid.crs,
            transform=grid.transform,
            width=rgb.width,
            height=rgb.height,
            resampling=Resampling.bilinear,
            warp_mem_limit=_WARP_MEMORY,
            UNIFIED_SRC_NODATA="NO",  # else the nodata of one band is data where another band has some
            **missing,
        )
    return stack.enter_context(vrt), bands


def _with_opacity(raster: DatasetReader) -> WarpedVRT:
    """The same pixels, with a further band: the mask as opacity."""
    size = {"width": raster.width, "height": raster.height}
    return WarpedVRT(
        raster, crs=raster.crs, transform=raster.transform, **size, add_alpha=True, src_nodata=None, nodata=None
    )


def _check_colour_depth(raster: DatasetReader, colours: tuple[int, int, int]) -> None:
    types = {raster.dtypes[band - 1] for band in colours}
    if types != {"uint8"}:
        raise DataError(
            f"{raster.name}: RGB values of type {raster.dtypes[colours[0] - 1]}, expected uint8; say which values "
            "become 0 and 255 (--rgb-range LOW,HIGH), or convert with gdal_translate -ot Byte -scale LOW HIGH 0 255"
        )


def _check_fourth_band(raster: DatasetReader) -> None:
    with reading(raster.name):
        values = np.concatenate([raster.read(4, window=line)[:, columns] for line, columns in _lattice(raster)])
    if np.isin(values, (0, 255)).all() and values.max() == 255:
        raise DataError(f"{raster.name}: the fourth band is opacity (0 and 255 only), not a thermal image")


def _scaling(
    raster: DatasetReader, bands: ThermalBands, info: ModelInfo, warn: Callable[[str], object], force_range: bool
) -> ThermalScaling:
    """Return the scaling of the raster's values to 0..1; it is checked before anything runs."""
    with reading(raster.name):
        lines = [
            [part[:, columns] for part in read_counts(raster, bands, raster.name, window=line)]
            for line, columns in _lattice(raster)
        ]
        counts, known = (np.concatenate(parts) for parts in zip(*lines, strict=True))
    if (bands.scale, bands.offset) != (1.0, 0.0):
        warn(f"{raster.name}: scale {bands.scale:g} and offset {bands.offset:g} of its thermal band are applied")
    check_depth(counts, info.thermal_dtype, raster.name)
    seen = np.ma.MaskedArray(counts, ~known)
    padded = find_padding(counts[known])
    if padded is not None and info.scaling.kind != "gain_control":
        warn(f"{raster.name}: {padded}; declare it as nodata: {DECLARE}")
    info.scaling.check_range(seen, raster.name, force_range, warn)
    if info.scaling.kind == "gain_control" and known.any():
        assert info.scaling.low is not None  # the kind has both
        assert info.scaling.high is not None
        low, high = value_range(counts[known], info.scaling.low, info.scaling.high)
        return ThermalScaling("range", low, max(high, low + 1e-6))
    info.scaling(counts[:1, :1], raster.name)  # float values without a range
    return info.scaling


def _lattice(raster: DatasetReader) -> Iterator[tuple[Window, npt.NDArray[np.intp]]]:
    """Places evenly spread over a raster, at most `DECIMATED` a side: windows of one row, and columns of them.

    GDAL itself would decimate by overviews, which anyone may have made of anything; those of a VRT's sources, too.
    """
    ratio = max(1.0, max(raster.shape) / DECIMATED)
    counts = [max(1, round(side / ratio)) for side in raster.shape]
    rows, columns = (
        ((np.arange(count) + 0.5) * side / count).astype(np.intp)
        for count, side in zip(counts, raster.shape, strict=True)
    )
    for row in rows.tolist():
        yield Window(0, row, raster.width, 1), columns
