"""Rasters across 180°: the same flight in UTM 60, in UTM 1, in degrees up to 180 and beyond, and from -180."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rasterio")
import rasterio
from rasterio.crs import CRS
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform as reproject

from cimnet.deploy.geo import predict_geotiff
from cimnet.deploy.geo.areas import Ground
from cimnet.deploy.geo.grids import apply, on_one_map
from cimnet.errors import DataError

from .conftest import Stub, make_predictor, turned, write

LATITUDE = -17.0
PIXEL = 1.0  # metres
IN_DEGREES = PIXEL / 111_000
EAST_OF = {"degrees to 180": 180.0, "degrees from -180": -180.0, "Fiji, degrees to 180": 180.0}
SYSTEMS = {
    "UTM 60": "EPSG:32760",
    "UTM 1": "EPSG:32701",
    "degrees to 180": "EPSG:4326",
    "degrees from -180": "EPSG:4326",
    "Fiji, degrees to 180": "EPSG:4720",
}
RGB_SIDE, THERMAL_SIDE = 60, 120


def grid(system: str, side: int, turn: float = 0) -> Affine:
    """Square pixels around (180°, `LATITUDE`)."""
    if system in EAST_OF:
        middle, size = (EAST_OF[system], LATITUDE), IN_DEGREES
    else:
        there = reproject("EPSG:4326", SYSTEMS[system], [180.0], [LATITUDE])
        middle, size = (there[0][0], there[1][0]), PIXEL
    return _around(middle, size, side, turn)


def _around(middle: tuple[float, float], size: float, side: int, turn: float) -> Affine:
    plain = turned(turn, from_origin(0, 0, size, size))
    x, y = apply(plain, side / 2, side / 2)
    return Affine(plain.a, plain.b, middle[0] - x, plain.d, plain.e, middle[1] - y)


def heat(longitudes: np.ndarray, latitudes: np.ndarray) -> np.ndarray:
    """A slope over the ground, counts; of places near 180° by whatever longitude."""
    east = ((longitudes % 360) - 180) / IN_DEGREES
    return 128 + 1.2 * east + 0.7 * (latitudes - LATITUDE) / IN_DEGREES


def ground(system: str, side: int, turn: float = 0) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes and latitudes (WGS 84) of the pixels."""
    columns, rows = np.meshgrid(np.arange(side) + 0.5, np.arange(side) + 0.5)
    x, y = apply(grid(system, side, turn), columns, rows)  # type: ignore[arg-type]
    if system in EAST_OF and SYSTEMS[system] == "EPSG:4326":
        return np.asarray(x), np.asarray(y)
    x = np.where(np.asarray(x) > 180, np.asarray(x) - 360, x) if system in EAST_OF else x
    there = reproject(SYSTEMS[system], "EPSG:4326", np.ravel(x), np.ravel(y))
    return np.array(there[0]).reshape(side, side), np.array(there[1]).reshape(side, side)


@pytest.mark.parametrize("turn", [0, 30])
@pytest.mark.parametrize("thermal", SYSTEMS)
@pytest.mark.parametrize("rgb", SYSTEMS)
def test_thermal_is_seen_on_both_sides_at_its_place(tmp_path: Path, rgb: str, thermal: str, turn: float) -> None:
    colour = np.full((RGB_SIDE, RGB_SIDE, 3), 200, dtype=np.uint8)
    values = heat(*ground(thermal, THERMAL_SIDE)).round().clip(1, 255).astype(np.uint8)
    files = (
        write(tmp_path / "rgb.tif", colour, crs=SYSTEMS[rgb], transform=grid(rgb, RGB_SIDE, turn)),
        write(tmp_path / "t.tif", values, crs=SYSTEMS[thermal], transform=grid(thermal, THERMAL_SIDE)),
    )
    predictor = make_predictor(window=None)
    predict_geotiff(predictor, *files, tmp_path / "out.tif", areas=None if turn else tmp_path / "areas.csv")
    assert isinstance(predictor.model, Stub)
    seen = predictor.model.seen[0][1][0, 0].numpy() * 255
    expected = heat(*ground(rgb, RGB_SIDE, turn))
    assert (seen > 0).all()
    np.testing.assert_allclose(seen, expected, atol=3)


def test_rasters_on_two_sides_of_180_degrees_overlap_if_they_do(tmp_path: Path) -> None:
    """The thermal raster lies wholly west of 180°, the RGB raster across it: half is seen."""
    colour = np.full((60, 60, 3), 200, dtype=np.uint8)
    place = from_origin(180 - 60 * IN_DEGREES, LATITUDE + 60 * IN_DEGREES, IN_DEGREES, IN_DEGREES)
    files = (
        write(tmp_path / "rgb.tif", colour, crs="EPSG:32701", transform=grid("UTM 1", 60)),
        write(tmp_path / "t.tif", np.full((120, 60), 99, np.uint8), crs="EPSG:4326", transform=place),
    )
    predictor = make_predictor(window=None)
    predict_geotiff(predictor, *files, tmp_path / "out.tif")
    assert isinstance(predictor.model, Stub)
    assert 0.45 < (predictor.model.seen[0][1] > 0).float().mean() < 0.55


def test_a_projection_that_breaks_off_at_180_degrees_is_refused(tmp_path: Path) -> None:
    colour, values = np.full((60, 60, 3), 200, dtype=np.uint8), np.full((120, 120), 99, dtype=np.uint8)
    x, y = reproject("EPSG:4326", "EPSG:3857", [180.0], [LATITUDE])
    mercator = {"crs": "EPSG:3857", "transform": from_origin(x[0] - 60, y[0] + 60, 1, 1)}
    utm = {"crs": "EPSG:32760", "transform": grid("UTM 60", 60)}
    files = write(tmp_path / "rgb.tif", colour, **utm), write(tmp_path / "t.tif", values, **mercator)
    with pytest.raises(DataError, match=r"cross the antimeridian .*EPSG:32760, EPSG:3857.* gdalwarp -t_srs"):
        predict_geotiff(make_predictor(), *files, tmp_path / "out.tif")


def test_rasters_far_from_each_other_still_do_not_overlap(tmp_path: Path) -> None:
    colour, values = np.full((60, 60, 3), 200, dtype=np.uint8), np.full((60, 60), 99, dtype=np.uint8)
    far = from_origin(-179.9, LATITUDE, IN_DEGREES, IN_DEGREES)
    files = (
        write(tmp_path / "rgb.tif", colour, crs="EPSG:32760", transform=grid("UTM 60", 60)),
        write(tmp_path / "t.tif", values, crs="EPSG:4326", transform=far),
    )
    with pytest.raises(DataError, match="do not overlap on the map"):
        predict_geotiff(make_predictor(), *files, tmp_path / "out.tif")


def test_a_raster_that_ends_at_180_degrees_is_taken_as_it_is(tmp_path: Path) -> None:
    colour, values = np.full((60, 60, 3), 200, dtype=np.uint8), np.full((120, 120), 99, dtype=np.uint8)
    place = from_origin(180 - 120 * IN_DEGREES, LATITUDE + 60 * IN_DEGREES, IN_DEGREES, IN_DEGREES)
    west = Affine.translation(-80, 0) @ grid("UTM 60", 60)
    files = (
        write(tmp_path / "rgb.tif", colour, crs="EPSG:32760", transform=west),
        write(tmp_path / "t.tif", values, crs="EPSG:4326", transform=place),
    )
    with rasterio.open(files[0]) as first, rasterio.open(files[1]) as second:
        assert [place.crs for place in on_one_map(first, second)] == [first.crs, second.crs]


def test_a_middle_pixel_across_180_degrees_has_its_area() -> None:
    place = _around(tuple(v[0] for v in reproject("EPSG:4326", "EPSG:32760", [180.0], [LATITUDE])), 1.0, 61, 0)  # type: ignore[arg-type]
    assert Ground("x", CRS.from_epsg(32760), place, (61, 61)).pixels(0, 1)[0] == 1
