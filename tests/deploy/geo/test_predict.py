"""GeoTIFFs in, one GeoTIFF out: grids, missing data, thermal values, what QGIS needs."""

from __future__ import annotations

import json
import re
import warnings
import weakref
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("rasterio")
import rasterio
import rasterio.shutil
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform as reproject
from scipy.ndimage import map_coordinates

from cimnet.data import ThermalScaling
from cimnet.deploy.geo import predict_geotiff
from cimnet.deploy.geo.grids import apply
from cimnet.errors import ConfigError, DataError
from cimnet.inference import Predictor
from cimnet.inference.windows import Block

from .conftest import (
    CLASSES,
    COLORS,
    PLACE,
    UTM,
    Stub,
    arrays,
    classes_of,
    content,
    make_predictor,
    moved,
    turned,
    write,
)


def whole_image(predictor: Predictor) -> tuple[np.ndarray, np.ndarray]:
    """RGB (H, W, 3) and thermal (H, W) that a predictor without windows has seen."""
    assert isinstance(predictor.model, Stub)
    ((rgb, thermal),) = predictor.model.seen
    return rgb[0].permute(1, 2, 0).numpy(), thermal[0, 0].numpy()


def test_the_output_has_the_grid_the_colours_and_the_names(tmp_path: Path) -> None:
    rgb, thermal = arrays(700, 600)
    out = tmp_path / "new" / "classes.tif"
    calls: list[tuple[int, int]] = []
    result = predict_geotiff(
        make_predictor(window=320),
        write(tmp_path / "rgb.tif", rgb),
        write(tmp_path / "thermal.tif", thermal),
        out,
        progress=lambda done, total: calls.append((done, total)),
    )
    with rasterio.open(out) as file:
        assert (file.crs, file.transform, file.shape) == (rasterio.crs.CRS.from_string(UTM), PLACE, (700, 600))
        assert (file.count, file.dtypes, file.nodata) == (1, ("uint8",), 255)
        assert (file.block_shapes, file.compression.name) == ([(512, 512)], "deflate")
        assert [file.colormap(1)[k][:3] for k in range(4)] == list(COLORS)
        assert file.colormap(1)[255] == (0, 0, 0, 0)
        assert file.overviews(1) == [2]
        assert json.loads(file.tags()["classes"]) == {str(k): name for k, name in enumerate(CLASSES)}
        np.testing.assert_array_equal(file.read(1), classes_of(rgb, thermal))
        np.testing.assert_array_equal(file.read(1, out_shape=(350, 300)), classes_of(rgb, thermal)[::2, ::2])
    rasterio.shutil.copy(out, tmp_path / "copy.vrt", driver="VRT")  # GDAL writes what it knows about the file
    known = (tmp_path / "copy.vrt").read_text()
    names = [name.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") for name in CLASSES]
    found = [re.sub("&(lt|gt|amp);", lambda m: {"lt": "<", "gt": ">", "amp": "&"}[m[1]], text)
             for text in re.findall("<Category>(.*)</Category>", known)]  # fmt: skip
    assert found == names
    assert sorted(path.name for path in out.parent.iterdir()) == ["classes.qml", "classes.tif", "classes.tif.aux.xml"]
    assert calls == [(k, 4) for k in range(5)]
    assert [area.pixels for area in result.areas] == np.bincount(classes_of(rgb, thermal).ravel()).tolist()
    assert (result.missing, result.polygons, result.areas[0].square_metres) == (0, None, None)


def test_windows_of_a_small_raster_give_what_the_whole_image_gives(tmp_path: Path) -> None:
    rgb, thermal = arrays()
    files = write(tmp_path / "rgb.tif", rgb), write(tmp_path / "thermal.tif", thermal)
    whole = make_predictor(window=None, blur=5)
    predict_geotiff(whole, *files, tmp_path / "a.tif")
    assert whole_image(whole)[0].shape == (80, 120, 3)
    np.testing.assert_array_equal(content(tmp_path / "a.tif"), whole.predict(rgb, thermal))
    windowed = make_predictor(blur=5, window=48, overlap=0.25)
    predict_geotiff(windowed, *files, tmp_path / "b.tif")
    np.testing.assert_array_equal(content(tmp_path / "b.tif"), windowed.predict(rgb, thermal))


def test_a_coarser_thermal_raster_of_another_extent_is_laid_over_the_rgb_grid(tmp_path: Path) -> None:
    rgb = arrays(60, 80)[0]
    coarse = np.random.default_rng(1).integers(1, 256, (20, 30), dtype=np.uint8)
    place = from_origin(500_008, 5_999_995, 1.2, 0.8)  # begins right of and below the RGB raster, ends beyond it
    predictor = make_predictor(window=None)
    files = write(tmp_path / "rgb.tif", rgb), write(tmp_path / "thermal.tif", coarse, transform=place)
    predict_geotiff(predictor, *files, tmp_path / "out.tif")
    x, y = (PLACE.c + 0.5 * (np.arange(80) + 0.5), PLACE.f - 0.5 * (np.arange(60) + 0.5))
    columns, rows = np.meshgrid((x - place.c) / 1.2, (place.f - y) / 0.8)
    covered = (columns > 0) & (rows > 0) & (columns < 30) & (rows < 20)
    expected = map_coordinates(coarse.astype(float), [rows - 0.5, columns - 0.5], order=1, mode="nearest")
    seen = whole_image(predictor)[1] * 255
    assert 0.2 < covered.mean() < 0.8
    np.testing.assert_allclose(seen[covered], expected[covered], atol=1.01)
    assert (seen[~covered] == 0).all()
    np.testing.assert_array_equal(content(tmp_path / "out.tif"), classes_of(rgb, seen.round()))


@pytest.mark.parametrize("turn", [0, 30])
@pytest.mark.parametrize("other", ["EPSG:4326", "EPSG:32634", UTM])
def test_another_reference_system_and_a_rotated_rgb_raster(tmp_path: Path, other: str, turn: float) -> None:
    rgb = np.full((50, 70, 3), 200, dtype=np.uint8)
    place = turned(turn)

    def heat(x: np.ndarray, y: np.ndarray) -> np.ndarray:  # of places in the RGB raster's system
        return 120 + 2.0 * (x - PLACE.c) + 1.5 * (y - PLACE.f)

    middle = reproject(UTM, other, *([v] for v in apply(place, 35, 25)))
    size = 1.2e-5 if other == "EPSG:4326" else 1.0
    grid = from_origin(middle[0][0] - 50 * size, middle[1][0] + 50 * size, size, size)
    columns, rows = np.meshgrid(np.arange(100) + 0.5, np.arange(100) + 0.5)
    x, y = apply(grid, columns, rows)
    back = reproject(other, UTM, x.ravel(), y.ravel())
    values = heat(*(np.array(v).reshape(100, 100) for v in back)).clip(1, 255).round().astype(np.uint8)
    predictor = make_predictor(window=None)
    files = (
        write(tmp_path / "rgb.tif", rgb, transform=place),
        write(tmp_path / "t.tif", values, crs=other, transform=grid),
    )
    predict_geotiff(predictor, *files, tmp_path / "out.tif")
    expected = heat(*apply(place, *np.meshgrid(np.arange(70) + 0.5, np.arange(50) + 0.5)))
    sure = (expected > 2) & (expected < 254)
    assert sure.mean() > 0.6
    np.testing.assert_allclose(whole_image(predictor)[1][sure] * 255, expected[sure], atol=2)
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.transform.almost_equals(place)


@pytest.mark.parametrize("require_both", [False, True])
def test_where_a_sensor_has_no_data(tmp_path: Path, require_both: bool) -> None:
    rgb, thermal = arrays()
    rgb[:, 90:] = 0  # nodata
    rgb[0, 0] = (0, 255, 255)  # data: not every band is 0
    thermal[:30] = 0
    files = write(tmp_path / "rgb.tif", rgb, nodata=0), write(tmp_path / "thermal.tif", thermal, nodata=0)
    result = predict_geotiff(make_predictor(), *files, tmp_path / "out.tif", require_both=require_both)
    expected = classes_of(rgb, thermal)
    seen, felt = np.arange(120)[None] < 90, np.arange(80)[:, None] >= 30
    expected[~(seen & felt if require_both else seen | felt)] = 255
    np.testing.assert_array_equal(content(tmp_path / "out.tif"), expected)
    assert result.missing == (expected == 255).sum()


def test_a_missing_pixel_is_black_whatever_colour_stands_for_it(tmp_path: Path) -> None:
    rgb, thermal = arrays()
    alpha = np.full((80, 120, 1), 255, dtype=np.uint8)
    rgb[:40], alpha[:40] = 255, 0
    files = write(tmp_path / "rgb.tif", np.dstack((rgb, alpha))), write(tmp_path / "thermal.tif", thermal)
    predictor = make_predictor(window=None)
    predict_geotiff(predictor, *files, tmp_path / "out.tif")
    seen, felt = whole_image(predictor)
    assert (seen[:40] == 0).all()
    np.testing.assert_allclose(seen[40:] * 255, rgb[40:], atol=1e-3)
    np.testing.assert_allclose(felt * 255, thermal, atol=1e-3)
    assert (content(tmp_path / "out.tif") < 4).all()


def test_windows_without_data_are_not_run(tmp_path: Path) -> None:
    rgb, thermal = arrays(200, 200)
    rgb[:, 60:], thermal[:, 60:] = 0, 0
    files = write(tmp_path / "rgb.tif", rgb, nodata=0), write(tmp_path / "thermal.tif", thermal, nodata=0)
    predictor = make_predictor(window=64, overlap=0.0)
    predict_geotiff(predictor, *files, tmp_path / "out.tif")
    assert isinstance(predictor.model, Stub)
    assert len(predictor.model.seen) == 4  # rows, one window in each
    expected = np.where(np.arange(200) < 60, classes_of(rgb, thermal), 255)
    np.testing.assert_array_equal(content(tmp_path / "out.tif"), expected)


@pytest.mark.parametrize("nodata", [None, 0])
def test_one_raster_of_four_bands(tmp_path: Path, nodata: int | None) -> None:
    rgb, thermal = arrays()
    thermal[10:20] = 0  # GDAL takes the fourth band for opacity; here it is cold
    both = write(tmp_path / "both.tif", np.dstack((rgb, thermal)), nodata=nodata)
    predict_geotiff(make_predictor(), both, both, tmp_path / "out.tif")
    np.testing.assert_array_equal(content(tmp_path / "out.tif"), classes_of(rgb, thermal))


@pytest.mark.parametrize("nodata", [None, -9999.0])
@pytest.mark.parametrize("shifted", [False, True])
def test_temperatures_with_holes(tmp_path: Path, nodata: float | None, shifted: bool) -> None:
    rgb = arrays()[0]
    kelvin = np.linspace(280, 320, 80, dtype=np.float32)[:, None].repeat(120, axis=1)
    kelvin[20:40, 30:60] = np.nan if nodata is None else nodata
    place = moved(0, 4) if shifted else PLACE
    files = write(tmp_path / "rgb.tif", rgb), write(tmp_path / "t.tif", kelvin, nodata=nodata, transform=place)
    predictor = make_predictor(
        window=None, thermal_dtype="float32", scaling=ThermalScaling("kelvin", 290.0, 310.0, unit="kelvin")
    )
    words = r"t\.tif: 5\d% of the thermal values lie outside .* 290 to 310 \(kelvin\)"
    with pytest.raises(DataError, match=words):
        predict_geotiff(predictor, *files, tmp_path / "out.tif")
    predictor.settings = replace(predictor.settings, force_range=True)
    told: list[str] = []
    predict_geotiff(predictor, *files, tmp_path / "out.tif", warn=told.append)
    assert "they are clipped" in told[0]
    expected = np.nan_to_num((np.where(kelvin > 0, kelvin, 290) - 290) / 20, nan=0).clip(0, 1)
    if shifted:
        expected = np.concatenate((np.zeros((4, 120)), expected[:-4]))
    np.testing.assert_allclose(whole_image(predictor)[1], expected, atol=1e-4)
    again = {"require_both": True, "overwrite": True, "warn": told.append}
    both = predict_geotiff(predictor, *files, tmp_path / "out.tif", **again)
    assert both.missing == 20 * 30 + 4 * 120 * shifted


def test_gain_control_looks_at_the_whole_raster_once(tmp_path: Path) -> None:
    rgb = arrays()[0]
    counts = (np.arange(80 * 120).reshape(80, 120) + 7000).astype(np.uint16)
    files = write(tmp_path / "rgb.tif", rgb), write(tmp_path / "t.tif", counts)
    predictor = make_predictor(thermal_dtype="uint16", scaling=ThermalScaling("gain_control", 10.0, 90.0))
    predict_geotiff(predictor, *files, tmp_path / "out.tif")
    low, high = np.percentile(counts, (10, 90))
    np.testing.assert_array_equal(content(tmp_path / "out.tif") >= 2, counts > (low + high) / 2)


def test_signed_counts_are_read_as_16_bit_and_others_refused_before_the_run(tmp_path: Path) -> None:
    rgb, thermal = arrays()
    counts = thermal.astype(np.int16) * 100
    files = write(tmp_path / "rgb.tif", rgb), write(tmp_path / "t.tif", counts)
    scaling = ThermalScaling("range", 0.0, 25500.0)
    predictor = make_predictor(thermal_dtype="uint16", scaling=scaling)
    predict_geotiff(predictor, *files, tmp_path / "out.tif")
    np.testing.assert_array_equal(content(tmp_path / "out.tif"), classes_of(rgb, thermal))


def test_two_rasters_without_a_reference_system_are_pixel_aligned(tmp_path: Path) -> None:
    rgb, thermal = arrays()
    place = {"crs": None, "transform": Affine.identity()}
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        files = write(tmp_path / "rgb.tif", rgb, **place), write(tmp_path / "thermal.tif", thermal, **place)
    told: list[str] = []
    out, areas = tmp_path / "out.tif", tmp_path / "areas.csv"
    predict_geotiff(make_predictor(), *files, out, areas=areas, warn=told.append)
    assert [("pixel-aligned" in text) for text in told] == [True]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        np.testing.assert_array_equal(content(out), classes_of(rgb, thermal))
    assert all(line.endswith(",,") for line in areas.read_text().splitlines()[1:])


def test_one_pixel(tmp_path: Path) -> None:
    files = (
        write(tmp_path / "rgb.tif", np.full((1, 1, 3), 255, dtype=np.uint8)),
        write(tmp_path / "t.tif", np.full((1, 1), 9, dtype=np.uint8)),
    )
    predict_geotiff(make_predictor(), *files, tmp_path / "out.tif", polygons=tmp_path / "out.gpkg")
    assert content(tmp_path / "out.tif").tolist() == [[1]]


def test_settings_of_the_predictor_are_used(tmp_path: Path) -> None:
    rgb, thermal = arrays()
    files = write(tmp_path / "rgb.tif", rgb), write(tmp_path / "thermal.tif", thermal)
    predictor = make_predictor(window=32, overlap=0.0)
    predictor.settings = replace(predictor.settings, batch_size=4)
    predict_geotiff(predictor, *files, tmp_path / "out.tif")
    assert isinstance(predictor.model, Stub)
    assert [rgb.shape for rgb, _ in predictor.model.seen] == [torch.Size((4, 3, 32, 32))] * 3


def test_qgis_gets_a_style_for_both_layers_and_a_changed_one_stays(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{name}.tif", array) for name, array in zip(("rgb", "thermal"), arrays(), strict=True)]
    out, shapes = tmp_path / "classes.tif", tmp_path / "polygons.gpkg"
    predict_geotiff(make_predictor(), *files, out, polygons=shapes)
    styles = [out.with_suffix(".qml"), shapes.with_suffix(".qml")]
    for path in styles:
        root = ElementTree.fromstring(path.read_text())
        entries = [(entry.get("value"), entry.get("label"), entry.get("color")) for entry in root.iter("paletteEntry")]
        colors = ["#" + bytes(color).hex() for color in COLORS]
        ids = [str(index) for index in range(len(CLASSES))]
        assert entries == list(zip(ids, CLASSES, colors, strict=True))
        renderer = root.find("renderer-v2")
        assert renderer is not None
        assert renderer.get("attr") == "id"
        assert [(item.get("value"), item.get("label")) for item in renderer.iter("category")] == [
            entry[:2] for entry in entries
        ]
        symbols = {symbol.get("name"): symbol.find("layer/prop[@k='color']") for symbol in renderer.iter("symbol")}
        assert [symbols[item.get("symbol")].get("v") for item in renderer.iter("category")] == colors
    styles[0].write_text("mine")
    out.unlink(), shapes.unlink()
    with pytest.warns(UserWarning, match="classes.qml: another style exists and is kept"):
        predict_geotiff(make_predictor(), *files, out, polygons=shapes)
    assert styles[0].read_text() == "mine"
    predict_geotiff(make_predictor(), *files, out, polygons=shapes, overwrite=True)
    assert styles[0].read_text() == styles[1].read_text() != "mine"


def test_a_style_never_lands_on_an_input_or_on_another_output(tmp_path: Path) -> None:
    """QGIS finds a style by the name without its ending: rgb.qml is that of rgb.tiff, too."""
    files = [write(tmp_path / f"{name}.tiff", array) for name, array in zip(("rgb", "thermal"), arrays(), strict=True)]
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ConfigError, match=r"names of their own.*rgb\.qml"):
        predict_geotiff(make_predictor(), *files, tmp_path / "rgb.tif", overwrite=True)
    with pytest.raises(ConfigError, match=r"names of their own.*out\.qml"):
        predict_geotiff(make_predictor(), *files, tmp_path / "out.tif", areas=tmp_path / "out.qml")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("shape", [(8, 20_000), (20_000, 8)])
def test_strips_of_8_pixels(tmp_path: Path, shape: tuple[int, int]) -> None:
    rgb, thermal = arrays(*shape)
    files = write(tmp_path / "rgb.tif", rgb), write(tmp_path / "thermal.tif", thermal)
    predict_geotiff(make_predictor(window=640), *files, tmp_path / "out.tif", polygons=tmp_path / "out.gpkg")
    np.testing.assert_array_equal(content(tmp_path / "out.tif"), classes_of(rgb, thermal))


def test_no_block_is_held_while_the_next_one_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stitch = Predictor.stitch
    held: list[bool] = []

    def watched(*arguments: Any, **more: Any) -> Iterator[Block]:
        for block in stitch(*arguments, **more):
            seen = weakref.ref(block.probabilities)
            handed = [block]
            del block
            yield handed.pop()
            held.append(seen() is not None)

    monkeypatch.setattr(Predictor, "stitch", watched)
    rgb, thermal = arrays()
    predict_geotiff(
        make_predictor(), write(tmp_path / "rgb.tif", rgb), write(tmp_path / "thermal.tif", thermal), tmp_path / "c.tif"
    )
    assert len(held) > 2
    assert not any(held)
