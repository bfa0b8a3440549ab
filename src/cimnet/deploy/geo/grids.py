"""Where two rasters lie: whether they share a grid, whether one can be laid over the other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.io import DatasetReader
from rasterio.warp import transform as reproject

from cimnet.errors import DataError

Quad = npt.NDArray[np.float64]


def same_grid(rgb: DatasetReader, thermal: DatasetReader, warn: Callable[[str], object]) -> bool:
    """Whether pixels coincide, so that nothing needs to be resampled.

    Two rasters of one size without a coordinate reference system (CRS) count as pixel-aligned; `warn` is told.

    Raises:
        DataError: one raster has no CRS or no geotransform, or they do not overlap.
    """
    same_size = rgb.shape == thermal.shape
    close = rgb.transform.almost_equals(thermal.transform, 1e-6 * abs(rgb.transform.a or rgb.transform.b))
    if rgb.crs is None and thermal.crs is None:
        if not (same_size and close):
            raise DataError(
                f"{rgb.name} and {thermal.name}: neither has a coordinate reference system, and their sizes or "
                "geotransforms differ; assign one to both with gdal_edit.py -a_srs EPSG:CODE FILE"
            )
        warn("the rasters have no coordinate reference system; same size, so taken as pixel-aligned")
        return True
    for raster in (rgb, thermal):
        if raster.crs is None:
            raise DataError(
                f"{raster.name}: no coordinate reference system, but the other raster has one; assign it with "
                "gdal_edit.py -a_srs EPSG:CODE FILE"
            )
        if raster.transform.is_identity:
            raise DataError(
                f"{raster.name}: no geotransform, so its place on the map is not known; set it with "
                "gdal_edit.py -a_ullr ULX ULY LRX LRY FILE, or rectify the image first"
            )
    if same_size and close and rgb.crs == thermal.crs:
        return True
    if not _overlap(rgb, thermal):
        raise DataError(
            f"{rgb.name} and {thermal.name} do not overlap on the map ({_extent(rgb)}; {_extent(thermal)}); "
            "are they of one flight, and are both coordinate reference systems right?"
        )
    return False


def corners(raster: DatasetReader) -> Quad:
    """(4, 2) map coordinates of a raster's corners, in order around it."""
    pixels = ((0, 0), (raster.width, 0), (raster.width, raster.height), (0, raster.height))
    return np.array([apply(raster.transform, *pixel) for pixel in pixels])


def apply(transform: Affine, x: float, y: float) -> tuple[float, float]:
    """A point through an affine transform; how `Affine` spells this differs between its releases."""
    a, b, c, d, e, f = transform[:6]
    return a * x + b * y + c, d * x + e * y + f


def _overlap(rgb: DatasetReader, thermal: DatasetReader) -> bool:
    """By the separating axis theorem, in pixels of the RGB raster."""
    try:
        xs, ys = reproject(thermal.crs, rgb.crs, *corners(thermal).T)
    except Exception as error:  # GDAL has no common error; a local system has no place on the earth
        raise DataError(
            f"{thermal.name} and {rgb.name}: no way from one coordinate reference system to the other ({error}); "
            "reproject one with gdalwarp"
        ) from error
    other = np.array([apply(~rgb.transform, x, y) for x, y in zip(xs, ys, strict=True)])
    frame = np.array([(0, 0), (rgb.width, 0), (rgb.width, rgb.height), (0, rgb.height)], dtype=np.float64)
    if not np.isfinite(other).all():
        return False
    edges = np.concatenate([np.roll(quad, -1, axis=0) - quad for quad in (frame, other)])
    for normal in edges[:, ::-1] * (1, -1):
        mine, theirs = frame @ normal, other @ normal
        if mine.max() <= theirs.min() or theirs.max() <= mine.min():
            return False
    return True


def _extent(raster: DatasetReader) -> str:
    (left, bottom), (right, top) = corners(raster).min(axis=0), corners(raster).max(axis=0)
    return f"{raster.crs.to_string()[:40]} x {left:.6g} to {right:.6g}, y {bottom:.6g} to {top:.6g}"
