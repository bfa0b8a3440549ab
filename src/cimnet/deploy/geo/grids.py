"""The places of two rasters: whether they share a grid, and whether one can be laid over the other."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.crs import CRS
from rasterio.io import DatasetReader
from rasterio.warp import transform as reproject

from cimnet.errors import DataError, one_line

Points = npt.NDArray[np.float64]
_HALF_TURN = 180 + 1e-9  # degrees: a raster of the whole earth ends at 180
_BENT = 0.1  # share of a raster by which its middle may lie off that of its corners, if it does not break off
_PRIME_MERIDIAN = re.compile(r'PRIMEM\["[^"]*",\s*([-+\d.eE]+)')
_CODE_AT_THE_START = re.compile(r'^,(AUTHORITY|ID)\["[^"]*","?[^"\]]*"?\]')  # of the meridian
_CODE_AT_THE_END = re.compile(r',(AUTHORITY|ID)\["[^"]*","?[^"\]]*"?\]\]$')  # of the whole system


@dataclass(frozen=True)
class Place:
    """The place of a raster on the map.

    Attributes:
        name: of its file.
        crs: its coordinate reference system.
        transform: from pixels to the map.
        width, height: pixels.
    """

    name: str
    crs: CRS
    transform: Affine
    width: int
    height: int


def check_place(raster: DatasetReader, other: DatasetReader) -> None:
    """Check that a raster has a place on the map, if it or the other one of its pair (maybe the same) claims to have
    one.

    Raises:
        DataError: it has no coordinate reference system or no geotransform.
    """
    if raster.crs is None and other.crs is None:
        return
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


def same_grid(rgb: DatasetReader, thermal: DatasetReader, warn: Callable[[str], object]) -> bool:
    """Whether pixels coincide, so that nothing needs to be resampled.

    Both have passed `check_place`. Two of one size without a coordinate reference system (CRS) count as pixel-aligned;
    `warn` is told.

    Raises:
        DataError: neither has a CRS, and their sizes or geotransforms differ; or they do not overlap.
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
    if same_size and close and rgb.crs == thermal.crs:
        return True
    places = on_one_map(rgb, thermal)
    if not _overlap(*places):
        raise DataError(
            f"{rgb.name} and {thermal.name} do not overlap on the map ({_extent(rgb)}; {_extent(thermal)}); "
            "are they of one flight, and are both coordinate reference systems right?"
        )
    return False


def on_one_map(rgb: DatasetReader, thermal: DatasetReader) -> tuple[Place, Place]:
    """Return the places of both rasters, without the step of 360° in longitude if they lie across the antimeridian.

    A raster in degrees then counts its longitudes from its own middle (its prime meridian is there), so that none of
    them is near 180°; this says the same places in other numbers.

    Raises:
        DataError: no transformation between their coordinate reference systems, one that breaks off at the
            antimeridian, or degrees over a pole.
    """
    places = _place(rgb), _place(thermal)
    for place, other in (places, places[::-1]):
        if _in_degrees(other.crs) and _holds_a_pole(place):
            raise DataError(
                f"{place.name}: it contains a pole, where the degrees of {other.name} break off; reproject that one "
                f"with gdalwarp -t_srs {place.crs.to_string()[:40]}"
            )
    if not any(_crosses(place, other) for place, other in (places, places[::-1])):
        return places
    first, second = (_from_its_middle(place) for place in places)
    if _breaks_off(_to(second, first)) or _breaks_off(_to(first, second)):
        raise DataError(
            f"{rgb.name} and {thermal.name}: they cross the antimeridian (180°), where one of their coordinate "
            "reference systems breaks off "
            f"({_short(rgb)}, {_short(thermal)}); reproject that one to a UTM zone with gdalwarp -t_srs EPSG:CODE"
        )
    return first, second


def corners(place: Place) -> Points:
    """(4, 2) map coordinates of a raster's corners, in order around it."""
    return _points(place)[:4]


def unwrapped(longitudes: npt.NDArray[np.float64], near: float) -> npt.NDArray[np.float64]:
    """The same longitudes, degrees, at most 180 away from `near`."""
    return near + (longitudes - near + 180) % 360 - 180


def apply(transform: Affine, x: float, y: float) -> tuple[float, float]:
    """A point through an affine transform; how `Affine` spells this differs between its releases."""
    a, b, c, d, e, f = transform[:6]
    return a * x + b * y + c, d * x + e * y + f


def _place(raster: DatasetReader) -> Place:
    return Place(raster.name, raster.crs, raster.transform, raster.width, raster.height)


def _points(place: Place) -> Points:
    """(5, 2) map coordinates of the corners, in order around the raster, and of the middle."""
    width, height = place.width, place.height
    pixels = ((0, 0), (width, 0), (width, height), (0, height), (width / 2, height / 2))
    return np.array([apply(place.transform, *pixel) for pixel in pixels])


def _to(other: Place, place: Place) -> Points:
    """The points of a raster in another one's system, (5, 2)."""
    try:
        return np.stack(reproject(place.crs, other.crs, *_points(place).T), axis=1)
    except Exception as error:  # GDAL has no common error; a local system has no place on the earth
        raise DataError(
            f"{place.name} and {other.name}: no transformation between their coordinate reference systems "
            f"({one_line(error)}); reproject one with gdalwarp"
        ) from error


def _in_degrees(crs: CRS) -> bool:
    return bool(crs.is_geographic) and abs(crs.units_factor[1] - np.pi / 180) < 1e-9


def _crosses(place: Place, other: Place) -> bool:
    """Whether a raster lies across 180°, or on the other side of it than the raster with which it is to be compared."""
    if _in_degrees(place.crs):
        longitudes = _points(place)[:, 0]
        beyond = bool((np.abs(longitudes) > _HALF_TURN).any())
        return beyond or bool((np.abs(_to(place, other)[:, 0] - longitudes[4]) > 180).any())
    if not place.crs.is_projected or not other.crs.is_projected:
        return False
    try:
        longitudes = np.asarray(reproject(place.crs, CRS.from_epsg(4326), *_points(place).T)[0])
    except Exception:  # GDAL has no common error; a local system has no place on the earth
        return False
    return bool(np.ptp(longitudes) > 180)


def _holds_a_pole(place: Place) -> bool:
    """Whether a raster on a map, not in degrees, shows a pole."""
    if place.crs.is_geographic:
        return False
    try:
        x, y = reproject(CRS.from_epsg(4326), place.crs, [0.0, 0.0], [90.0, -90.0])
        latitudes = np.abs(reproject(place.crs, CRS.from_epsg(4326), x, y)[1])
    except Exception:  # GDAL has no common error; a local system has no place on the earth
        return False
    pixels = (apply(~place.transform, *point) for point in zip(x, y, strict=True))
    inside = (0 <= column <= place.width and 0 <= row <= place.height for column, row in pixels)
    return any(there and latitude > 89.999 for there, latitude in zip(inside, latitudes, strict=True))


def _breaks_off(points: Points) -> bool:
    """Whether a raster falls apart in another system: its middle is then far from that of its corners."""
    off = np.abs(points[:4].mean(axis=0) - points[4])
    return not np.isfinite(points).all() or bool((off > _BENT * np.ptp(points[:4], axis=0)).any())


def _from_its_middle(place: Place) -> Place:
    """Return the same place with the prime meridian in the middle of the raster, in degrees."""
    if not _in_degrees(place.crs):
        return place
    middle = float(_points(place)[4, 0])
    text = place.crs.to_wkt()
    found = _PRIME_MERIDIAN.search(text)
    if found is None:
        return place
    meridian = f'PRIMEM["middle of the raster",{float(found[1]) + middle!r}'
    text = _CODE_AT_THE_END.sub("]", text[: found.start()] + meridian + _CODE_AT_THE_START.sub("", text[found.end() :]))
    crs = CRS.from_wkt(text)
    a, b, c, d, e, f = place.transform[:6]
    return Place(place.name, crs, Affine(a, b, c - middle, d, e, f), place.width, place.height)


def _overlap(rgb: Place, thermal: Place) -> bool:
    """Whether two rasters overlap, by the separating axis theorem, in pixels of the RGB raster."""
    there = _to(rgb, thermal)[:4]
    other = np.array([apply(~rgb.transform, x, y) for x, y in there])
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
    quad = corners(_place(raster))
    (left, bottom), (right, top) = quad.min(axis=0), quad.max(axis=0)
    return f"{_short(raster)} x {left:.6g} to {right:.6g}, y {bottom:.6g} to {top:.6g}"


def _short(raster: DatasetReader) -> str:
    return str(raster.crs.to_string()[:40])
