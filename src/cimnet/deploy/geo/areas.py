"""Square metres of pixels and polygons, and metres between points."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.crs import CRS
from rasterio.warp import transform as reproject

from cimnet.deploy.geo.grids import apply, unwrapped
from cimnet.errors import DataError
from cimnet.utils.files import csv_text

Ring = Sequence[tuple[float, float]]
Values = npt.NDArray[np.float64]
_WGS84 = (6378137.0, 298.257223563)
_TOLERANCE = 0.01  # by which an area on the map may differ from that on the ground


@dataclass(frozen=True)
class ClassArea:
    """The area of a raster that a class covers.

    Attributes:
        id, name: id and name of the class.
        pixels: number of its pixels.
        share: share of the pixels that have a class, 0 to 1.
        square_metres: its area. None: the raster does not tell.
    """

    id: int
    name: str
    pixels: int
    share: float
    square_metres: float | None


class Ground:
    """Areas on a raster's ground: on the plane of a projected coordinate reference system, on the ellipsoid of a
    geographic one.

    Both are the same integral over a border, of f(y) dx: f(y) is y on the plane; on the ellipsoid it is the area of
    a belt one radian wide from the equator to the latitude y. So pixels and polygons are exact, if not rotated.

    Raises:
        DataError: a projection that stretches areas by more than 1 % there (Mercator on the web, for one), or a
            rotated raster in degrees.
    """

    def __init__(self, name: str, crs: CRS, transform: Affine, shape: tuple[int, int]) -> None:
        self.transform, self.shape = transform, shape
        self.geographic = bool(crs.is_geographic)
        factor = float(crs.units_factor[1])
        self.unit = factor  # metres or radians
        self._ellipsoid = _ellipsoid(crs) if self.geographic else None
        if self.geographic and (transform.b or transform.d):
            raise DataError(f"{name}: a rotated raster in degrees has no areas here; reproject it with gdalwarp")
        if not self.geographic:
            stretched = self._stretched(crs)
            if not abs(stretched - 1) <= _TOLERANCE:  # also true for NaN
                raise DataError(
                    f"{name}: {crs.to_string()[:40]} shows areas {stretched:.3g} times as large as they are there; "
                    "reproject to a UTM zone with gdalwarp -t_srs EPSG:CODE, or leave out areas and polygons"
                )

    def pixels(self, first: int, count: int) -> Values:
        """Square metres of one pixel in each of the rows first..first + count, (count,)."""
        if not self.geographic:
            return np.full(count, abs(self.transform.determinant) * self.unit**2)
        edges = self.transform.f + self.transform.e * np.arange(first, first + count + 1, dtype=np.float64)
        return np.abs(np.diff(self._belt(edges))) * abs(self.transform.a) * self.unit

    def polygon(self, rings: Sequence[Ring]) -> float:
        """Square metres of a polygon: the first ring without the others."""
        sizes = [self._ring(np.asarray(ring, dtype=np.float64)) for ring in rings]
        return sizes[0] - sum(sizes[1:])

    def _ring(self, ring: Values) -> float:
        return _enclosed(ring[:, 0] * self.unit, self._belt(ring[:, 1]))

    def _belt(self, y: Values) -> Values:
        return _belt(y * self.unit, self._ellipsoid) if self._ellipsoid else y * self.unit

    def _stretched(self, crs: CRS) -> float:
        """Area on the map, by area on the ground, of the pixel in the middle."""
        middle = (self.shape[1] // 2, self.shape[0] // 2)
        steps = ((0, 0), (1, 0), (1, 1), (0, 1), (0, 0))
        points = [apply(self.transform, middle[0] + x, middle[1] + y) for x, y in steps]
        try:
            there, up = reproject(crs, CRS.from_epsg(4326), [p[0] for p in points], [p[1] for p in points])
        except (
            Exception
        ):  # GDAL has no common error: a local system has no place on the earth: its plane is all there is
            return 1.0
        degree = math.pi / 180
        longitudes = unwrapped(np.asarray(there), there[0])  # a pixel may lie across 180°
        real = _enclosed(longitudes * degree, _belt(np.asarray(up) * degree, _WGS84))
        return float(self.pixels(0, 1)[0]) / real if real > 0 else math.nan


def metres_between(crs: CRS, transform: Affine, start: tuple[float, float], end: tuple[float, float]) -> float | None:
    """Metres between two near points (x, y) in pixels of a raster: along the ellipsoid, or on the plane of a local
    system, which has no place on the earth. None: the raster does not tell."""
    xs, ys = zip(*(apply(transform, *point) for point in (start, end)), strict=True)
    try:
        longitudes, latitudes = reproject(crs, CRS.from_epsg(4326), xs, ys)
    except Exception:  # GDAL has no common error
        return None if crs.is_geographic else float(np.hypot(xs[1] - xs[0], ys[1] - ys[0]) * crs.units_factor[1])
    radius, inverse = _WGS84
    eccentricity = (2 - 1 / inverse) / inverse
    east = np.radians(np.diff(unwrapped(np.asarray(longitudes), longitudes[0])))[0]  # a pixel may lie across 180°
    up = np.radians(latitudes)
    curved = 1 - eccentricity * np.sin(up[0]) ** 2
    north = (up[1] - up[0]) * (1 - eccentricity) / curved**1.5
    metres = float(radius * np.hypot(north, east * np.cos(up[0]) / np.sqrt(curved)))
    return metres if np.isfinite(metres) else None


def count_areas(counts: npt.NDArray[np.int64], metres: Values | None, classes: Sequence[str]) -> tuple[ClassArea, ...]:
    """One entry a class.

    Args:
        counts: pixels by id, (256,).
        metres: square metres by id, (256,).
    """
    total = max(1, int(counts[: len(classes)].sum()))
    return tuple(
        ClassArea(k, name, int(counts[k]), int(counts[k]) / total, None if metres is None else float(metres[k]))
        for k, name in enumerate(classes)
    )


def to_csv(areas: Iterable[ClassArea]) -> str:
    """A table: id, class, pixels, share, area_m2, area_ha; the last two empty where they are not known."""
    rows: list[tuple[object, ...]] = []
    for area in areas:
        metres = area.square_metres
        sizes = ("", "") if metres is None else (f"{metres:.3f}", f"{metres / 10_000:.6f}")
        rows.append((area.id, area.name, area.pixels, f"{area.share:.6f}", *sizes))
    return csv_text(("id", "class", "pixels", "share", "area_m2", "area_ha"), rows)


def _enclosed(x: Values, belts: Values) -> float:
    """Area within a closed line."""
    belts = belts - belts[0]  # changes nothing but rounding
    return abs(float(np.sum(np.diff(x) * (belts[1:] + belts[:-1]) / 2)))


def _belt(latitude: Values, ellipsoid: tuple[float, float]) -> Values:
    """Square metres between equator and latitude (radians), one radian wide, on an ellipsoid (semi-major axis in
    metres, inverse flattening; 0: a sphere)."""
    axis, inverse = ellipsoid
    flat = 1 / inverse if inverse else 0.0
    eccentricity = math.sqrt(flat * (2 - flat))
    sine = np.sin(latitude)
    curved = np.arctanh(eccentricity * sine) / eccentricity if eccentricity else sine
    minor = axis * (1 - flat)
    return 0.5 * minor**2 * (sine / (1 - (eccentricity * sine) ** 2) + curved)


def _ellipsoid(crs: CRS) -> tuple[float, float]:
    found = re.search(r'(?:SPHEROID|ELLIPSOID)\["[^"]*",([\d.]+),([\d.]+)', crs.to_wkt())
    return (float(found[1]), float(found[2])) if found else _WGS84
