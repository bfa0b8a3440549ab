"""Square metres of classes and polygons, on the plane and on the ellipsoid."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rasterio")
from rasterio.crs import CRS
from rasterio.transform import Affine, from_origin

from cimnet.deploy.geo import predict_geotiff
from cimnet.deploy.geo.areas import Ground
from cimnet.deploy.geo.grids import apply
from cimnet.errors import ConfigError, DataError

from .conftest import CLASSES, PLACE, UTM, make_predictor, turned, write


def squares() -> tuple[np.ndarray, np.ndarray]:
    """Class 0 with a frame of class 1 (outer 20×30, inner 10×20) and a lone pixel of class 3."""
    rgb, thermal = np.ones((60, 80, 3), dtype=np.uint8), np.ones((60, 80), dtype=np.uint8)
    rgb[10:30, 20:50] = 255
    rgb[15:25, 25:45] = 1
    rgb[50, 70], thermal[50, 70] = 255, 255
    return rgb, thermal


def test_areas_in_metres(tmp_path: Path) -> None:
    rgb, thermal = squares()
    files = write(tmp_path / "rgb.tif", rgb), write(tmp_path / "thermal.tif", thermal)
    result = predict_geotiff(make_predictor(), *files, tmp_path / "out.tif", areas=tmp_path / "areas.csv")
    pixels = [4800 - 400 - 1, 400, 0, 1]
    assert [area.pixels for area in result.areas] == pixels
    assert [area.square_metres for area in result.areas] == pytest.approx([0.25 * count for count in pixels])
    with (tmp_path / "areas.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == list(CLASSES)
    assert [float(row["area_m2"]) for row in rows] == [0.25 * count for count in pixels]
    assert [float(row["area_ha"]) for row in rows] == pytest.approx([25e-6 * count for count in pixels], abs=1e-6)
    assert float(rows[1]["share"]) == pytest.approx(400 / 4800, abs=1e-6)


def test_areas_in_a_local_system_are_those_of_its_plane(tmp_path: Path) -> None:
    rgb, thermal = squares()
    local = {"crs": 'LOCAL_CS["Local Coordinates (m)",UNIT["metre",1]]'}
    files = write(tmp_path / "rgb.tif", rgb, **local), write(tmp_path / "thermal.tif", thermal, **local)
    result = predict_geotiff(make_predictor(), *files, tmp_path / "out.tif", areas=tmp_path / "areas.csv")
    assert [area.square_metres for area in result.areas] == pytest.approx([0.25 * area.pixels for area in result.areas])


def test_areas_in_degrees_are_those_of_the_ellipsoid(tmp_path: Path) -> None:
    rgb, thermal = squares()
    place = {"crs": "EPSG:4326", "transform": from_origin(13.0, 52.5, 1e-5, 1e-5)}
    files = write(tmp_path / "rgb.tif", rgb, **place), write(tmp_path / "thermal.tif", thermal, **place)
    result = predict_geotiff(make_predictor(), *files, tmp_path / "out.tif", areas=tmp_path / "areas.csv")
    latitude, square = np.radians(52.5), 0.0066943799901413165  # of the first eccentricity
    across = 6378137.0 / np.sqrt(1 - square * np.sin(latitude) ** 2) * np.cos(latitude)
    along = 6378137.0 * (1 - square) / (1 - square * np.sin(latitude) ** 2) ** 1.5
    pixel = across * along * np.radians(1e-5) ** 2
    expected = [pixel * area.pixels for area in result.areas]
    assert [area.square_metres for area in result.areas] == pytest.approx(expected, rel=2e-5)


def test_all_pixels_of_the_earth_are_as_large_as_the_earth() -> None:
    ground = Ground("earth", CRS.from_epsg(4326), from_origin(-180, 90, 1, 1), (180, 360))
    assert 360 * ground.pixels(0, 180).sum() == pytest.approx(510_065_621_724_088, rel=1e-12)
    ring = [(-180, 90), (-180, -90), (180, -90), (180, 90), (-180, 90)]
    assert ground.polygon([ring]) == pytest.approx(510_065_621_724_088, rel=1e-12)


def test_feet_are_not_metres() -> None:
    ground = Ground("new york", CRS.from_epsg(2263), from_origin(980_000, 200_000, 2, 2), (100, 100))
    assert ground.pixels(0, 3).tolist() == pytest.approx([4 * (1200 / 3937) ** 2] * 3)


@pytest.mark.parametrize(
    ("crs", "place", "message"),
    [
        ("EPSG:3857", from_origin(1_450_000, 6_900_000, 1, 1), "areas 2.7.* times as large"),
        ("EPSG:4326", turned(10, from_origin(13, 52, 1e-5, 1e-5)), "rotated raster in degrees"),
    ],
)
def test_areas_that_would_be_wrong_are_refused(tmp_path: Path, crs: str, place: Affine, message: str) -> None:
    rgb, thermal = squares()
    where = {"crs": crs, "transform": place}
    files = write(tmp_path / "rgb.tif", rgb, **where), write(tmp_path / "thermal.tif", thermal, **where)
    with pytest.raises(DataError, match=message):
        predict_geotiff(make_predictor(), *files, tmp_path / "out.tif", areas=tmp_path / "areas.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rgb.tif", "thermal.tif"]
    predict_geotiff(make_predictor(), *files, tmp_path / "out.tif")


@pytest.mark.parametrize("place", [PLACE, turned(25)])
def test_polygons(tmp_path: Path, place: Affine) -> None:
    raw = pytest.importorskip("pyogrio.raw")
    rgb, thermal = squares()
    thermal[:, :5], rgb[:, :5] = 0, 0  # no data
    files = [
        write(tmp_path / f"{name}.tif", values, nodata=0, transform=place)
        for name, values in (("rgb", rgb), ("thermal", thermal))
    ]
    polygons = tmp_path / "out.gpkg"
    result = predict_geotiff(make_predictor(), *files, tmp_path / "out.tif", polygons=polygons)
    meta, _, geometry, (ids, names, sizes) = raw.read(polygons, layer="classes")
    assert meta["crs"] == UTM
    assert result.polygons == 4
    found = sorted(zip(ids.tolist(), names.tolist(), sizes.round(6).tolist(), strict=True))
    outside = 0.25 * (60 * 75 - 20 * 30 - 1)
    names_ = (CLASSES[0], CLASSES[0], CLASSES[1], CLASSES[3])
    expected = zip((0, 0, 1, 3), names_, (0.25 * 200, outside, 0.25 * 400, 0.25), strict=True)
    assert found == list(expected)
    frame = geometry[ids.tolist().index(1)]
    rings = np.frombuffer(frame[5:9], dtype="<u4")[0], np.frombuffer(frame[9:13], dtype="<u4")[0]
    assert rings == (2, 5)
    corners = np.frombuffer(frame[13 : 13 + 5 * 16], dtype="<f8").reshape(5, 2)
    expected_corners = {
        tuple(np.round(apply(place, *corner), 6)) for corner in ((20, 10), (50, 10), (50, 30), (20, 30))
    }
    assert {tuple(corner) for corner in corners.round(6)} == expected_corners


def test_small_polygons_are_left_out(tmp_path: Path) -> None:
    raw = pytest.importorskip("pyogrio.raw")
    rgb, thermal = squares()
    files = write(tmp_path / "rgb.tif", rgb), write(tmp_path / "thermal.tif", thermal)
    options = {"polygons": tmp_path / "out.gpkg", "min_area": 60.0}
    result = predict_geotiff(make_predictor(), *files, tmp_path / "out.tif", **options)
    assert result.polygons == 2
    assert sorted(raw.read(tmp_path / "out.gpkg")[3][0].tolist()) == [0, 1]
    options["min_area"] = 1e9
    result = predict_geotiff(make_predictor(), *files, tmp_path / "out.tif", overwrite=True, **options)
    assert result.polygons == 0
    assert raw.read(tmp_path / "out.gpkg")[3][0].tolist() == []


def test_polygons_are_written_as_geopackage_only(tmp_path: Path) -> None:
    rgb, thermal = squares()
    files = write(tmp_path / "rgb.tif", rgb), write(tmp_path / "thermal.tif", thermal)
    with pytest.raises(ConfigError, match=r"ends in \.gpkg"):
        predict_geotiff(make_predictor(), *files, tmp_path / "out.tif", polygons=tmp_path / "out.shp")
    for options in ({}, {"areas": tmp_path / "areas.csv"}):
        with pytest.raises(ConfigError, match="min_area: leaves out polygons, and none are asked for"):
            predict_geotiff(make_predictor(), *files, tmp_path / "out.tif", min_area=3, **options)
