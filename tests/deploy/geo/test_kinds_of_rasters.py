"""Grids, formats and sizes of rasters: each is read as GDAL reads it at full resolution, and placed within a pixel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rasterio")
import rasterio
from rasterio.enums import Resampling
from rasterio.shutil import copy
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform as reproject

from cimnet.data.io.thermal_scaling import ThermalScaling
from cimnet.deploy.geo import predict_geotiff
from cimnet.deploy.geo.grids import apply

from .conftest import PLACE, UTM, Stub, arrays, classes_of, content, make_predictor, moved, turned, write

WIDTH, HEIGHT = 70, 50
GRIDS = {
    "half a pixel off": moved(0.5, 0.5),
    "turned by 90°": turned(90),
    "south-up": Affine(0.5, 0, PLACE.c, 0, 0.5, PLACE.f),
    "mirrored": Affine(-0.5, 0, PLACE.c, 0, -0.5, PLACE.f),
}


@pytest.mark.parametrize("crs", [UTM, "EPSG:32634", "EPSG:4326", "EPSG:3857", "EPSG:3035"])
@pytest.mark.parametrize("name", GRIDS)
def test_placed_within_a_pixel(tmp_path: Path, name: str, crs: str) -> None:
    place = GRIDS[name]
    middle = apply(place, WIDTH / 2, HEIGHT / 2)

    def heat(x: np.ndarray, y: np.ndarray) -> np.ndarray:  # a count for each pixel
        return 128 + 2.0 * (x - middle[0]) + 2.0 * (y - middle[1])

    there = reproject(UTM, crs, *([v] for v in middle))
    size = 0.6 / 111_000 if crs == "EPSG:4326" else 0.6
    grid = from_origin(there[0][0] - 100 * size, there[1][0] + 100 * size, size, size)
    columns, rows = np.meshgrid(np.arange(200) + 0.5, np.arange(200) + 0.5)
    back = reproject(crs, UTM, *map(np.ravel, apply(grid, columns, rows)))  # type: ignore[arg-type]
    values = heat(*(np.reshape(v, (200, 200)) for v in back)).clip(1, 255).round().astype(np.uint8)
    colour = np.full((HEIGHT, WIDTH, 3), 200, dtype=np.uint8)
    files = (
        write(tmp_path / "rgb.tif", colour, transform=place),
        write(tmp_path / "t.tif", values, crs=crs, transform=grid),
    )
    predictor = make_predictor(window=None)
    predict_geotiff(predictor, *files, tmp_path / "out.tif")
    assert isinstance(predictor.model, Stub)
    seen = predictor.model.seen[0][1][0, 0].numpy() * 255
    expected = heat(*apply(place, *np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)))  # type: ignore[arg-type]
    assert (seen > 0).all()
    np.testing.assert_allclose(seen, expected, atol=1)


FORMATS: dict[str, dict[str, Any]] = {
    "strips": {},
    "strips of one row": {"blockysize": 1},
    "tiles": {"tiled": True, "blockxsize": 16, "blockysize": 32},
    "by band": {"interleave": "band"},
    "by pixel": {"interleave": "pixel"},
    "LZW": {"compress": "lzw", "predictor": 2},
    "deflate": {"compress": "deflate", "predictor": 2},
    "Zstandard": {"compress": "zstd"},
    "PackBits": {"compress": "packbits"},
    "LZMA": {"compress": "lzma"},
    "LERC": {"compress": "lerc"},
    "JPEG": {"compress": "jpeg", "tiled": True, "blockxsize": 64, "blockysize": 64},
    "WebP": {"compress": "webp", "webp_lossless": True},
    "BigTIFF": {"bigtiff": "YES"},
    "big-endian": {"endianness": "BIG"},
    "sparse": {"sparse_ok": True, "tiled": True, "blockxsize": 16, "blockysize": 16},
    "7 bits": {"nbits": 7},
    "nodata": {"nodata": 0},
    "COG": {},
}


@pytest.mark.parametrize("name", FORMATS)
def test_formats(tmp_path: Path, name: str) -> None:
    rgb, thermal = arrays()
    if name == "7 bits":
        rgb, thermal = rgb // 2, thermal // 2
    if name in ("sparse", "nodata"):
        rgb[:32, :48], thermal[:32, :48] = 0, 0
    profile = {key: value for key, value in FORMATS[name].items() if name != "WebP" or key != "webp_lossless"}
    if name == "WebP":
        profile["WEBP_LOSSLESS"] = "TRUE"
    files = []
    for part, values in (("rgb", rgb), ("t", thermal)):
        own = {} if part == "t" and name == "WebP" else profile  # of three or four bands
        path = write(tmp_path / f"{part}.tif", values, **own)
        if name == "COG":
            copy(path, tmp_path / f"{part}_cog.tif", driver="COG", blocksize=128)
            path = tmp_path / f"{part}_cog.tif"
        files.append(path)
    with rasterio.open(files[0]) as first, rasterio.open(files[1]) as second:
        expected = classes_of(np.moveaxis(first.read(), 0, -1), second.read(1))
        if name == "nodata":
            expected[(first.dataset_mask() == 0) & (second.dataset_mask() == 0)] = 255
    predict_geotiff(make_predictor(), *files, tmp_path / "out.tif")
    np.testing.assert_array_equal(content(tmp_path / "out.tif"), expected)


def poison(path: Path, inside: bool) -> None:
    """Overviews that show white."""
    before = path.read_bytes()
    with rasterio.open(path, "r+") as file:
        bands = file.read()
        file.write(np.full_like(bands, 255))
    with rasterio.Env(TIFF_USE_OVR=not inside), rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4], Resampling.nearest)
    if inside:
        with rasterio.open(path, "r+") as file:
            file.write(bands)
    if not inside:
        path.write_bytes(before)
        assert path.with_name(f"{path.name}.ovr").is_file()
    with rasterio.open(path) as file:
        small = file.read(1, out_shape=tuple(side // 2 for side in file.shape))
        assert (small == 255).all(), "the attack itself does not work"
        assert not (file.read(1) == 255).all()


@pytest.mark.parametrize("vrt", [False, True])
@pytest.mark.parametrize("finer", [1, 4])
@pytest.mark.parametrize("inside", [True, False])
def test_overviews_are_never_read(tmp_path: Path, inside: bool, finer: int, vrt: bool) -> None:
    """Neither for the classes nor for the range of the values. Before, the range was that of the overviews."""
    rgb, thermal = arrays(16, 4200)
    heat = (thermal // 4 + 1).repeat(finer, axis=0).repeat(finer, axis=1)
    place = PLACE @ Affine.scale(1 / finer)
    layout = {"tiled": True, "blockxsize": 256, "blockysize": 16}
    files = write(tmp_path / "rgb.tif", rgb, **layout), write(tmp_path / "t.tif", heat, transform=place, **layout)
    info = {"scaling": ThermalScaling("gain_control", 1, 99)}
    given = files
    if vrt:
        given = tmp_path / "rgb.vrt", tmp_path / "t.vrt"
        for path, new in zip(files, given, strict=True):
            copy(path, new, driver="VRT")
    predict_geotiff(make_predictor(**info), *given, tmp_path / "plain.tif")
    for path in files:
        poison(path, inside)
    predict_geotiff(make_predictor(**info), *given, tmp_path / "poisoned.tif")
    np.testing.assert_array_equal(content(tmp_path / "poisoned.tif"), content(tmp_path / "plain.tif"))


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (1, 40), (3, 40), (40, 3), (31, 33)])
@pytest.mark.parametrize("other_grid", [False, True])
def test_tiny_rasters(tmp_path: Path, shape: tuple[int, int], other_grid: bool) -> None:
    rgb, thermal = arrays(*shape)
    files = write(tmp_path / "rgb.tif", rgb), tmp_path / "t.tif"
    if other_grid:
        thermal[:] = thermal[0, 0]
        write(files[1], np.full((99, 99), thermal[0, 0]), transform=moved(-30, -30))
    else:
        write(files[1], thermal)
    predict_geotiff(make_predictor(), *files, tmp_path / "out.tif", areas=tmp_path / "a.csv")
    np.testing.assert_array_equal(content(tmp_path / "out.tif"), classes_of(rgb, thermal))
