"""Measure how far two rasters are displaced, from their content, and correct it by moving the thermal raster."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.warp import transform as reproject

from cimnet.checkpoint import ModelInfo
from cimnet.data.io.bands import Bands
from cimnet.data.io.local_rasters import driver_of, files_beside, raster_files
from cimnet.data.io.readers import same_file
from cimnet.data.io.thermal_scaling import ThermalScaling
from cimnet.deploy.geo.areas import metres_between
from cimnet.deploy.geo.outputs import staged, writing
from cimnet.deploy.geo.rasters import RasterPair, open_pair
from cimnet.errors import CimnetError, ConfigError, DataError
from cimnet.registration.estimate import align_rig
from cimnet.utils.files import refuse_inputs_as_outputs, require_writable_file
from cimnet.utils.gdal import offline

SIDE = 512
"""Side of the examined windows, RGB pixels."""
MOST = 12
_KNOWN = 0.95
_PERCENTILES = ThermalScaling("gain_control", 0.5, 99.5)

Window = tuple[npt.NDArray[Any], npt.NDArray[Any]]


@dataclass(frozen=True)
class PairCheck:
    """The displacement of two rasters relative to each other.

    Attributes:
        status: ``ok``, or ``unknown``: no reliable offset was found.
        dx, dy: how far to the right and down the thermal raster shows what the RGB raster shows, RGB pixels. None:
            unknown.
        metres: length of the offset on the ground, metres. None: unknown, or the RGB raster has no reference system.
        confidence: 0..1, as in :class:`cimnet.registration.Alignment`.
        stretch: by how many RGB pixels an affine map would place the corners of a window elsewhere than the offset
            does; moving the raster cannot correct this part. None: unknown.
        windows: number of examined windows.
        crs: reference systems of the RGB and the thermal raster.
        pixel: size of an RGB and of a thermal pixel, in units of their own reference systems.
    """

    status: str
    dx: float | None
    dy: float | None
    metres: float | None
    confidence: float
    stretch: float | None
    windows: int
    crs: tuple[str, str]
    pixel: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(self).items()}


def check_rasters(
    rgb: str | Path,
    thermal: str | Path,
    *,
    out: str | Path | None = None,
    bands: Bands | None = None,
    overwrite: bool = False,
    warn: Callable[[str], object] = warnings.warn,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> PairCheck:
    """Measure how far two rasters are displaced, in windows where both have data.

    Args:
        rgb, thermal: rasters, as for :func:`cimnet.deploy.geo.predict_geotiff`.
        out: GeoTIFF to write: a copy of the thermal raster, moved by the offset. Its pixels stay as they are, its
            geotransform changes. None: none.
        bands: which bands are red, green, blue and thermal. None: as the files say.
        overwrite: whether to replace ``out`` and to remove overviews, masks and other files that lie beside it by name.
        warn: called with each warning about odd inputs.
        progress: called with the number of windows read and the total.

    Raises:
        DataError: a raster cannot be read, the rasters do not overlap, or ``out`` is asked for and no offset is found
            or the rasters have no coordinate reference system.
        ConfigError: ``out`` has another ending, or both rasters are one file.
        CimnetError: ``out``, or a file beside it that GDAL would read with it, exists, or cannot be written.
    """
    rgb, thermal = Path(rgb), Path(thermal)
    place = None if out is None else Path(out)
    for raster in (rgb, thermal):
        if not raster.is_file():
            raise DataError(f"{raster}: no such file")
    if place is not None:
        _check_output(place, rgb, thermal, overwrite)
    info = ModelInfo("", {}, (), (), _PERCENTILES)
    with offline(GDAL_CACHEMAX=128), open_pair(rgb, thermal, info, True, warn, bands) as pair:
        if place is not None and pair.rgb.crs is None:
            raise DataError(
                f"{rgb}, {thermal}: no coordinate reference system, so {place} would fit no other one; assign one to "
                "both with gdal_edit.py -a_srs EPSG:CODE FILE, or move the pixels of images with `cimnet data align`"
            )
        windows = list(_windows(pair, progress))
        if not windows:
            raise DataError(f"{rgb}, {thermal}: no place where both have data; are they of one flight?")
        found = align_rig(windows, model="affine")
        result = _describe(pair, thermal, found.status, found.matrix, found.confidence, len(windows))
        if place is None:
            return result
        if result.status != "ok" or result.dx is None or result.dy is None:
            raise DataError(
                f"{rgb}, {thermal}: no reliable offset found in the images (confidence {found.confidence:.2f}); "
                f"{place} was not written"
            )
        _write_moved(pair, thermal, place, result.dx, result.dy)
    return result


def _check_output(out: Path, rgb: Path, thermal: Path, overwrite: bool) -> None:
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise ConfigError(f"{out}: the moved raster is a GeoTIFF; give a name that ends in .tif")
    if same_file(rgb, thermal):
        raise ConfigError(
            f"{rgb}: given for both sensors, which then move together; write the thermal band to a file of its own "
            f"(gdal_translate -b N {rgb.name} THERMAL.tif) and give that as --thermal, or leave out --out"
        )
    if out.exists() and not overwrite:
        raise CimnetError(f"{out}: exists; choose another name, or --overwrite to replace it")
    if (stale := files_beside(out)) and not overwrite:
        shown = f"{stale[0]}: would be read with {out.name}"
        raise CimnetError(f"{shown}; remove it, choose another name, or give --overwrite")
    refuse_inputs_as_outputs([out, *stale], [*raster_files(rgb), *raster_files(thermal)])
    require_writable_file(out)


def _windows(pair: RasterPair, progress: Callable[[int, int], object]) -> Iterator[Window]:
    """Windows that both rasters fill, spread over the whole."""
    height, width = pair.rgb.shape
    side = min(SIDE, height, width)
    rows, columns = (np.unique(np.linspace(0, full - side, 12).astype(int)) for full in (height, width))
    places = [(int(top), int(left)) for top in rows for left in columns]
    order = np.random.default_rng(0).permutation(len(places))
    found = 0
    for number, index in enumerate(order):
        progress(max(found, round(MOST * number / len(order))), MOST)
        top, left = places[index]
        if pair.known(top, left, side, side).mean() < _KNOWN:
            continue
        images = pair.read(top, left, side, side)
        if images is not None:
            found += 1
            yield images
        if found == MOST:
            return


def _describe(
    pair: RasterPair,
    thermal: Path,
    status: str,
    matrix: npt.NDArray[np.float64] | None,
    confidence: float,
    windows: int,
) -> PairCheck:
    dx = dy = metres = stretch = None
    if matrix is not None:
        side = min(SIDE, *pair.rgb.shape)
        centre = (side - 1) / 2
        dx, dy = (float(matrix[axis] @ [centre, centre, 1]) - centre for axis in (0, 1))
        corner = np.abs(matrix[:, :2] - np.eye(2)) @ [side / 2, side / 2]
        stretch = float(np.hypot(*corner))
        if pair.rgb.crs is not None:
            x, y = pair.rgb.width / 2, pair.rgb.height / 2
            metres = metres_between(pair.rgb.crs, pair.rgb.transform, (x, y), (x + dx, y + dy))
    with rasterio.open(thermal.absolute(), driver=driver_of(thermal)) as heat:
        crs = tuple("none" if r.crs is None else r.crs.to_string() for r in (pair.rgb, heat))
        pixel = tuple(float(np.hypot(r.transform.a, r.transform.d)) for r in (pair.rgb, heat))
    return PairCheck(
        status, dx, dy, metres, float(confidence), stretch, windows, (crs[0], crs[1]), (pixel[0], pixel[1])
    )


def _write_moved(pair: RasterPair, thermal: Path, out: Path, dx: float, dy: float) -> None:
    """A copy of the thermal raster whose content lies `dx`, `dy` RGB pixels further left and up."""
    height, width = pair.rgb.shape
    x, y = width / 2, height / 2
    xs, ys = zip(*(pair.rgb.transform * point for point in ((x, y), (x - dx, y - dy))), strict=True)
    with staged([out]) as hidden, writing(out):
        with rasterio.open(thermal.absolute(), driver=driver_of(thermal)) as heat:
            if pair.rgb.crs is not None and heat.crs is not None and pair.rgb.crs != heat.crs:
                xs, ys = reproject(pair.rgb.crs, heat.crs, xs, ys)
            moved = Affine.translation(xs[1] - xs[0], ys[1] - ys[0]) * heat.transform
            rasterio.shutil.copy(heat, hidden[out], driver="GTiff", compress="deflate", tiled=True, bigtiff="if_safer")
        with rasterio.open(hidden[out], "r+") as copy:
            copy.transform = moved
        stale = files_beside(out)
        hidden[out].replace(out)
        for side in stale:  # of the raster that had this name
            side.unlink()
