"""`cimnet geo-check`: a displacement that is known is found, and the moved raster lies where it belongs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("rasterio")
import rasterio
from rasterio.transform import Affine, from_origin

from cimnet.data import open_dataset
from cimnet.data.synthetic import synthesize
from cimnet.deploy.geo import check_rasters
from cimnet.errors import CimnetError, ConfigError, DataError

from .conftest import PLACE, UTM, arrays, turned

Scene = tuple[npt.NDArray[Any], npt.NDArray[Any]]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A synthetic scene, whose cameras are a few pixels apart: RGB (H, W, 3) and thermal (H, W)."""
    root = tmp_path_factory.mktemp("scene") / "data"
    synthesize(root, train=1, val=0, test=0, seed=3, size=(512, 640), late=0.0, workers=1)
    dataset = open_dataset(root, "train")
    arrays = dataset.decode(dataset.pairs[0])
    return arrays.rgb, arrays.thermal


def write(path: Path, array: npt.NDArray[Any], transform: Affine, crs: str | None = UTM) -> Path:
    bands = array[None] if array.ndim == 2 else np.moveaxis(array, -1, 0)
    with rasterio.open(
        path, "w", driver="GTiff", count=len(bands), height=array.shape[0], width=array.shape[1], dtype=array.dtype,
        crs=crs, transform=transform,
    ) as raster:  # fmt: skip
        raster.write(bands)
    return path


def offset_of(rgb: Path, thermal: Path) -> tuple[float, float]:
    found = check_rasters(rgb, thermal)
    assert found.status == "ok"
    assert found.dx is not None
    assert found.dy is not None
    return found.dx, found.dy


@pytest.mark.parametrize("place", [PLACE, turned(30.0)], ids=["north up", "turned"])
def test_a_known_displacement_is_found_and_taken_out(scene: Scene, tmp_path: Path, place: Affine) -> None:
    rgb = write(tmp_path / "rgb.tif", scene[0], place)
    before = offset_of(rgb, write(tmp_path / "before.tif", scene[1], place))
    wrong = write(tmp_path / "wrong.tif", scene[1], place * Affine.translation(7, -4))
    found = check_rasters(rgb, wrong, out=tmp_path / "moved.tif")
    assert found.dx is not None
    assert found.dy is not None
    assert found.metres is not None
    assert (found.dx, found.dy) == pytest.approx((before[0] + 7, before[1] - 4), abs=1.0)
    assert found.metres == pytest.approx(0.5 * np.hypot(found.dx, found.dy), rel=1e-3)
    after = offset_of(rgb, tmp_path / "moved.tif")
    assert after == pytest.approx((0, 0), abs=1.0)
    with rasterio.open(tmp_path / "moved.tif") as moved, rasterio.open(wrong) as original:
        np.testing.assert_array_equal(moved.read(), original.read())  # pixels are not resampled
        assert moved.crs == original.crs


DEGREES = (0.5 / 71_696.0, 0.5 / 111_229.0)  # half a metre to the east and to the north at 50° north, WGS 84
FEET = (0.5 / 0.30480061,) * 2
LOCAL = 'LOCAL_CS["a hall",UNIT["foot",0.3048]]'


@pytest.mark.parametrize(
    ("crs", "place"),
    [
        ("EPSG:2263", from_origin(980_000, 200_000, *FEET)),
        ("EPSG:4326", from_origin(8.5, 50, *DEGREES)),
        ("EPSG:4326", from_origin(180 - 300 * DEGREES[0], 50, *DEGREES)),  # across the antimeridian
        ("EPSG:3857", from_origin(946_000, 6_446_275.8, *(0.5 / 0.643_97,) * 2)),  # 1 m is 0.644 m there
        (LOCAL, from_origin(0, 0, *(0.5 / 0.3048,) * 2)),
    ],
    ids=["feet", "degrees", "antimeridian", "Mercator", "local feet"],
)
def test_metres_are_metres_on_the_ground(scene: Scene, tmp_path: Path, crs: str, place: Affine) -> None:
    rgb = write(tmp_path / "rgb.tif", scene[0], place, crs)
    found = check_rasters(rgb, write(tmp_path / "thermal.tif", scene[1], place * Affine.translation(7, -4), crs))
    assert found.dx is not None
    assert found.dy is not None
    assert found.metres == pytest.approx(0.5 * np.hypot(found.dx, found.dy), rel=3e-3)


def test_without_a_system_there_are_no_metres(cli: Any, scene: Scene, tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{k}.tif", scene[k], PLACE, None) for k in (0, 1)]
    ran = cli("geo-check", "--rgb", paths[0], "--thermal", paths[1], "--json")
    found = json.loads(ran.out.strip().splitlines()[-1])
    assert (found["status"], found["metres"]) == ("ok", None)
    ran = cli("geo-check", "--rgb", paths[0], "--thermal", paths[1])
    assert "px down\n" in ran.out


def test_another_system_and_resolution(scene: Scene, tmp_path: Path) -> None:
    """A thermal raster in degrees, of pixels twice as large."""
    from rasterio.warp import Resampling, calculate_default_transform, reproject

    rgb = write(tmp_path / "rgb.tif", scene[0], PLACE)
    height, width = scene[1].shape
    bounds = rasterio.transform.array_bounds(height, width, PLACE)
    transform, wide, high = calculate_default_transform(UTM, "EPSG:4326", width, height, *bounds)
    assert wide
    assert high
    coarse = transform * Affine.scale(2)
    target = np.zeros((high // 2, wide // 2), scene[1].dtype)
    reproject(
        scene[1], target, src_transform=PLACE * Affine.translation(6, 3), src_crs=UTM, dst_transform=coarse,
        dst_crs="EPSG:4326", resampling=Resampling.average,
    )  # fmt: skip
    thermal = write(tmp_path / "thermal.tif", target, coarse, "EPSG:4326")
    before = offset_of(rgb, write(tmp_path / "before.tif", scene[1], PLACE))
    found = check_rasters(rgb, thermal, out=tmp_path / "moved.tif")
    assert found.dx == pytest.approx(before[0] + 6, abs=1.5)
    assert found.dy == pytest.approx(before[1] + 3, abs=1.5)
    assert found.crs == (UTM, "EPSG:4326")
    assert offset_of(rgb, tmp_path / "moved.tif") == pytest.approx((0, 0), abs=1.5)


def test_what_cannot_be_told_or_done(scene: Scene, tmp_path: Path) -> None:
    rgb = write(tmp_path / "rgb.tif", scene[0], PLACE)
    flat = write(tmp_path / "flat.tif", np.full_like(scene[1], 7), PLACE)
    assert check_rasters(rgb, flat).status == "unknown"
    with pytest.raises(DataError, match=r"no reliable offset found .*moved\.tif was not written"):
        check_rasters(rgb, flat, out=tmp_path / "moved.tif")
    assert not (tmp_path / "moved.tif").exists()
    away = write(tmp_path / "away.tif", scene[1], from_origin(900_000, 6_500_000, 0.5, 0.5))
    with pytest.raises(DataError, match="do not overlap"):
        check_rasters(rgb, away)
    thermal = write(tmp_path / "thermal.tif", scene[1], PLACE)
    for out in (rgb, thermal):
        with pytest.raises(CimnetError):
            check_rasters(rgb, thermal, out=out, overwrite=True)
    with pytest.raises(ConfigError, match=r"\.tif"):
        check_rasters(rgb, thermal, out=tmp_path / "moved.png")


def test_what_cannot_be_moved_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rasters without a system, whose pixels only count as aligned; and one raster for both."""
    images = arrays()
    bare = [write(tmp_path / f"{k}.tif", images[k], Affine.identity(), None) for k in (0, 1)]
    one = write(tmp_path / "one.tif", np.dstack(images), PLACE)
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr("cimnet.deploy.geo.check_pair._windows", lambda pair, progress: pytest.fail("work"))
    with pytest.raises(DataError, match=r"no coordinate reference system, so .* -a_srs .* `cimnet data align`"):
        check_rasters(*bare, out=tmp_path / "moved.tif", warn=lambda text: None)
    with pytest.raises(ConfigError, match=r"one\.tif: given for both sensors, .*gdal_translate -b N one\.tif"):
        check_rasters(one, one, out=tmp_path / "moved.tif")
    assert sorted(tmp_path.iterdir()) == before


def test_what_lay_beside_another_raster_is_not_read_with_the_moved_one(scene: Scene, tmp_path: Path) -> None:
    rgb = write(tmp_path / "rgb.tif", scene[0], PLACE)
    thermal = write(tmp_path / "thermal.tif", scene[1], PLACE * Affine.translation(5, 0))
    out = tmp_path / "moved.tif"
    for ending in ("tif.ovr", "tif.aux.xml", "tfw"):
        side = tmp_path / f"moved.{ending}"
        side.write_text("of another raster")
        with pytest.raises(CimnetError, match=rf"moved\.{ending}: would be read with moved\.tif"):
            check_rasters(rgb, thermal, out=out)
        side.rename(tmp_path / f"aside.{ending}")
    for side in tmp_path.glob("aside.*"):
        side.rename(side.with_name(side.name.replace("aside", "moved")))
    check_rasters(rgb, thermal, out=out, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["moved.tif", "rgb.tif", "thermal.tif"]


def test_the_command(cli: Any, scene: Scene, tmp_path: Path) -> None:
    rgb = write(tmp_path / "rgb.tif", scene[0], PLACE)
    thermal = write(tmp_path / "thermal.tif", scene[1], PLACE * Affine.translation(5, 0))
    ran = cli("geo-check", "--rgb", rgb, "--thermal", thermal, "--json", "--progress-lines")
    assert ran.code == 0
    lines = ran.out.strip().splitlines()
    assert lines[0].startswith("progress ")
    assert json.loads(lines[-1])["status"] == "ok"
    ran = cli("geo-check", "--rgb", rgb, "--thermal", thermal, "--out", tmp_path / "moved.tif")
    assert "px right" in ran.out
    assert (tmp_path / "moved.tif").is_file()
