"""Rasters near and across the poles: polar stereographic maps, and degrees that end at a pole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rasterio")
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform as reproject

from cimnet.deploy.geo import predict_geotiff
from cimnet.deploy.geo.grids import apply
from cimnet.errors import DataError

from .conftest import Stub, make_predictor, turned, write

PIXEL = 100.0  # metres
POLAR = {"Antarctic": ("EPSG:3031", -90.0), "Arctic": ("EPSG:3413", 90.0)}
COLOUR, SIDE = np.full((60, 60, 3), 200, dtype=np.uint8), 60


def place(x: float, y: float, side: int, turn: float = 0) -> Affine:
    """Square pixels around a place on the map."""
    plain = turned(turn, from_origin(0, 0, PIXEL, PIXEL))
    dx, dy = apply(plain, side / 2, side / 2)
    return Affine(plain.a, plain.b, x - dx, plain.d, plain.e, y - dy)


def centres(transform: Affine, side: int) -> tuple[np.ndarray, np.ndarray]:
    columns, rows = np.meshgrid(np.arange(side) + 0.5, np.arange(side) + 0.5)
    return tuple(map(np.asarray, apply(transform, columns, rows)))  # type: ignore[arg-type, return-value]


def slope(x: np.ndarray, y: np.ndarray, middle: tuple[float, float]) -> np.ndarray:
    """Counts that rise over the polar map."""
    return 128 + ((x - middle[0]) * 0.9 + (y - middle[1]) * 0.5) / PIXEL


def seen(predictor: object) -> np.ndarray:
    model = predictor.model  # type: ignore[attr-defined]
    assert isinstance(model, Stub)
    return model.seen[0][1][0, 0].numpy() * 255


@pytest.mark.parametrize("turn", [0, 30])
@pytest.mark.parametrize("at", [(0.0, 0.0), (0.0, 2_000_000.0), (0.0, -2_000_000.0), (1_500_000.0, 20.0)])
@pytest.mark.parametrize("pole", POLAR)
def test_two_polar_rasters(tmp_path: Path, pole: str, at: tuple[float, float], turn: float) -> None:
    """The pole inside, on the 180th meridian of the map, on the one opposite, and beside it."""
    crs = POLAR[pole][0]
    thermal = place(*at, 120)
    values = slope(*centres(thermal, 120), at).round().clip(1, 255).astype(np.uint8)
    rgb = place(*at, SIDE, turn)
    files = (
        write(tmp_path / "rgb.tif", COLOUR, crs=crs, transform=rgb),
        write(tmp_path / "t.tif", values, crs=crs, transform=thermal),
    )
    predictor = make_predictor(window=None)
    predict_geotiff(predictor, *files, tmp_path / "out.tif")
    np.testing.assert_allclose(seen(predictor), slope(*centres(rgb, SIDE), at), atol=2)


@pytest.mark.parametrize("longitude", [0.0, 90.0, 135.0, 179.99, -179.99, -45.0])
@pytest.mark.parametrize("pole", POLAR)
def test_a_polar_raster_and_one_in_degrees(tmp_path: Path, pole: str, longitude: float) -> None:
    """500 km from the pole, on any meridian, also across 180°: at its place."""
    crs, latitude = POLAR[pole]
    latitude = latitude - np.sign(latitude) * 5.0
    x, y = (v[0] for v in reproject("EPSG:4326", crs, [longitude], [latitude]))
    rgb = place(x, y, SIDE)
    step = PIXEL / 111_000
    wide = step / np.cos(np.radians(latitude))
    degrees = from_origin(longitude - 80 * wide, latitude + 80 * step, wide, step)
    columns, rows = centres(degrees, 160)
    there = reproject("EPSG:4326", crs, (np.ravel(columns) + 180) % 360 - 180, np.ravel(rows))
    values = slope(np.reshape(there[0], (160, 160)), np.reshape(there[1], (160, 160)), (x, y))
    files = (
        write(tmp_path / "rgb.tif", COLOUR, crs=crs, transform=rgb),
        write(tmp_path / "t.tif", values.round().clip(1, 255).astype(np.uint8), crs="EPSG:4326", transform=degrees),
    )
    predictor = make_predictor(window=None)
    predict_geotiff(predictor, *files, tmp_path / "out.tif")
    np.testing.assert_allclose(seen(predictor), slope(*centres(rgb, SIDE), (x, y)), atol=3)


@pytest.mark.parametrize("pole", POLAR)
def test_a_pole_inside_a_raster_in_degrees(tmp_path: Path, pole: str) -> None:
    """A strip of all longitudes that ends at the pole, under a polar map of the pole. Before, they were said not to
    overlap."""
    crs, latitude = POLAR[pole]
    top = 90.0 if latitude > 0 else -89.9
    degrees = Affine(0.5, 0, -180, 0, -0.001, top)
    columns = np.tile(np.arange(720), (100, 1))
    values = (columns % 200 + 1).astype(np.uint8)
    other = write(tmp_path / "t.tif", values, crs="EPSG:4326", transform=degrees)
    polar = write(tmp_path / "rgb.tif", COLOUR, crs=crs, transform=place(0, 0, SIDE))
    with pytest.raises(DataError, match=rf"rgb\.tif: it contains a pole.*t\.tif break off.*gdalwarp -t_srs {crs}"):
        predict_geotiff(make_predictor(), polar, other, tmp_path / "out.tif")
    colour = write(tmp_path / "rgb_degrees.tif", np.dstack([values] * 3), crs="EPSG:4326", transform=degrees)
    heat = write(tmp_path / "polar.tif", COLOUR[..., 0], crs=crs, transform=place(0, 0, SIDE))
    with pytest.raises(DataError, match=r"polar\.tif: it contains a pole"):
        predict_geotiff(make_predictor(), colour, heat, tmp_path / "out.tif")


def test_two_polar_maps_of_one_pole(tmp_path: Path) -> None:
    """EPSG:3031 and Universal Polar Stereographic South: the pole in the middle of both, turned and stretched."""
    x, y = (v[0] for v in reproject("EPSG:3031", "EPSG:32761", [0.0], [0.0]))
    thermal = place(x, y, 120)
    columns, rows = centres(thermal, 120)
    there = reproject("EPSG:32761", "EPSG:3031", np.ravel(columns), np.ravel(rows))
    values = slope(np.reshape(there[0], (120, 120)), np.reshape(there[1], (120, 120)), (0, 0))
    rgb = place(0, 0, SIDE)
    files = (
        write(tmp_path / "rgb.tif", COLOUR, crs="EPSG:3031", transform=rgb),
        write(tmp_path / "t.tif", values.round().clip(1, 255).astype(np.uint8), crs="EPSG:32761", transform=thermal),
    )
    predictor = make_predictor(window=None)
    predict_geotiff(predictor, *files, tmp_path / "out.tif")
    np.testing.assert_allclose(seen(predictor), slope(*centres(rgb, SIDE), (0, 0)), atol=2)
