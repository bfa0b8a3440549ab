"""What rasters say of themselves: bands and their order, scale and offset, units, control points, padding."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rasterio")
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC
from rasterio.shutil import copy

from cimnet.data import ThermalScaling
from cimnet.data.io.bands import Bands
from cimnet.deploy.geo import predict_geotiff
from cimnet.deploy.geo.rasters import open_pair
from cimnet.errors import DataError

from .conftest import UTM, arrays, content, make_predictor, write

RGB, THERMAL = arrays()
CELSIUS = (THERMAL / 4.0 - 10).astype(np.float32)
quick = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def seen(rgb: Path, thermal: Path, bands: Bands | None = None, told: list[str] | None = None, **info: Any) -> Any:
    """What the model gets as RGB and thermal image."""
    predictor = make_predictor(**info)
    told = [] if told is None else told
    with open_pair(rgb, thermal, predictor.info, False, told.append, bands) as pair:
        found = pair.read(0, 0, *RGB.shape[:2])
    assert found is not None
    return found


def tag(path: Path, **attributes: Any) -> Path:
    with rasterio.open(path, "r+") as file:
        for name, value in attributes.items():
            setattr(file, name, value)
    return path


@quick
@given(st.permutations([ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined]))
def test_declared_colours_in_any_order(tmp_path: Path, order: list[ColorInterp]) -> None:
    bands = {ColorInterp.red: 0, ColorInterp.green: 1, ColorInterp.blue: 2}
    values = np.dstack([RGB[..., bands[kind]] if kind in bands else THERMAL for kind in order])
    rgb = write(tmp_path / "rgb.tif", values, photometric="minisblack")
    with rasterio.open(rgb, "r+") as file:
        file.colorinterp = order
    thermal = write(tmp_path / "t.tif", THERMAL)
    np.testing.assert_array_equal(seen(rgb, thermal)[0], RGB)


@quick
@given(st.randoms(), st.integers(5, 8), st.sampled_from(["uint8", "uint16"]))
def test_bands_and_range_that_are_asked_for(tmp_path: Path, random: Any, count: int, dtype: str) -> None:
    places = random.sample(range(count), 4)
    values = np.full((*THERMAL.shape, count), 99, dtype)
    for channel, place in enumerate(places):
        values[..., place] = (
            THERMAL if channel == 3 else RGB[..., channel].astype(dtype) * (16 if dtype == "uint16" else 1)
        )
    path = write(tmp_path / "all.tif", values, photometric="minisblack")
    ends = (0.0, 4080.0) if dtype == "uint16" else None
    numbers = [place + 1 for place in places]
    info = {"thermal_dtype": dtype, "scaling": ThermalScaling("range", 0, 255)}
    rgb, heat = seen(path, path, Bands(tuple(numbers[:3]), numbers[3], ends), **info)
    np.testing.assert_array_equal(rgb, RGB)
    np.testing.assert_allclose(heat, THERMAL / 255, atol=1e-6)
    with pytest.raises(DataError, match=rf"all\.tif: {count} bands; given for RGB and thermal it needs four"):
        seen(path, path)
    with pytest.raises(DataError, match=rf"all\.tif: {count} bands, expected red, green, blue"):
        seen(path, path, Bands(thermal=numbers[3]))


def test_a_unit_that_is_not_known(tmp_path: Path) -> None:
    rgb = write(tmp_path / "rgb.tif", RGB)
    thermal = tag(write(tmp_path / "t.tif", CELSIUS), units=("mK",))
    with pytest.raises(DataError, match=r"t\.tif: states the unit 'mK', .*where celsius is expected"):
        seen(rgb, thermal, scaling=ThermalScaling("kelvin", 250, 330, "celsius"), thermal_dtype="float32")


@quick
@given(st.sampled_from([0.01, 0.02, 0.5]), st.sampled_from([-100.0, 0.0, 273.15]), st.sampled_from(["degC", "K", ""]))
def test_scale_offset_and_unit(tmp_path: Path, scale: float, offset: float, unit: str) -> None:
    """Stored counts, with the meaning in the tags; the checkpoint wants whole hundredths of a kelvin."""
    meant = CELSIUS + (273.15 if unit == "K" else 0)
    stored = np.round((meant - offset) / scale)
    if stored.min() < 0 or stored.max() > 65535:
        return
    rgb = write(tmp_path / "rgb.tif", RGB)
    thermal = tag(write(tmp_path / "t.tif", stored.astype(np.uint16)), scales=(scale,), offsets=(offset,))
    tag(thermal, units=(unit,))
    info: dict[str, Any] = {"thermal_dtype": "uint16"}
    info["scaling"] = ThermalScaling("kelvin", 263.15, 326.85, "centikelvin")
    told: list[str] = []
    if unit:
        _, heat = seen(rgb, thermal, told=told, **info)
        kelvin = (stored * scale + offset) + (0 if unit == "K" else 273.15)
        np.testing.assert_allclose(heat, ((kelvin - 263.15) / 63.7).clip(0, 1), atol=1e-3)
        assert (scale, offset) == (1.0, 0.0) or f"scale {scale:g} and offset {offset:g}" in told[0]
    else:
        with pytest.raises(DataError, match=r"t\.tif: thermal values of type float32 where uint16 is expected"):
            seen(rgb, thermal, **info)


@pytest.mark.parametrize("scaled", range(1, 5))
@pytest.mark.parametrize("chosen", [(1, 2, 3), (2, 3, 4), (4, 1, 3)])
def test_what_any_colour_band_says_counts_and_no_other(
    tmp_path: Path, chosen: tuple[int, int, int], scaled: int
) -> None:
    values = np.dstack([RGB, RGB[..., :1]])
    rgb = tag(
        write(tmp_path / "rgb.tif", values, photometric="minisblack"),
        scales=[0.5 if number == scaled else 1.0 for number in range(1, 5)],
    )
    thermal = write(tmp_path / "t.tif", THERMAL)
    if scaled in chosen:
        with pytest.raises(DataError, match=r"rgb\.tif: .*scale"):
            seen(rgb, thermal, Bands(chosen))
    else:
        wanted = values[..., [number - 1 for number in chosen]]
        np.testing.assert_array_equal(seen(rgb, thermal, Bands(chosen))[0], wanted)


@pytest.mark.parametrize("kind", ["gcps", "rpc"])
@pytest.mark.parametrize("which", ["rgb", "thermal"])
def test_control_points_and_rpc_need_gdalwarp(tmp_path: Path, kind: str, which: str) -> None:
    rgb, thermal = write(tmp_path / "rgb.tif", RGB), write(tmp_path / "t.tif", THERMAL)
    path, values = (rgb, RGB) if which == "rgb" else (thermal, THERMAL)
    write(path, values, crs=None, transform=None)
    with rasterio.open(path, "r+") as file:
        if kind == "gcps":
            points = [GroundControlPoint(r, c, 5e5 + c, 6e6 - r) for r in (0, 80) for c in (0, 120)]
            file.gcps = (points, CRS.from_string(UTM))
        else:
            twenty = [0.0] * 20
            file.rpcs = RPC(1, 1, 1, 1, twenty, twenty, 1, 1, 1, 1, twenty, twenty, 1, 1, 0, 0)
    with pytest.raises(DataError, match=r"placed by .*gdalwarp.* -t_srs"):
        predict_geotiff(make_predictor(), rgb, thermal, tmp_path / "out.tif")


@pytest.mark.parametrize("levels", [0, 1, 2])
@pytest.mark.parametrize(
    ("tags", "says"),
    [
        ({"extratags": [(274, 3, 1, 6, True)]}, r"t\.tif: an orientation tag"),
        ({"photometric": "miniswhite"}, r"t\.tif: white is zero|\.vrt: a palette raster"),  # GDAL makes it one
        ({"pages": 2}, r"t\.tif: 2 pages"),
    ],
)
def test_tags_of_the_sources_of_a_vrt(tmp_path: Path, tags: dict[str, Any], says: str, levels: int) -> None:
    tifffile = pytest.importorskip("tifffile")
    rgb, thermal = write(tmp_path / "rgb.tif", RGB, crs=None, transform=None), tmp_path / "t.tif"
    options = {"photometric": "minisblack", **tags}
    with tifffile.TiffWriter(thermal) as file:
        for _ in range(options.pop("pages", 1)):
            file.write(THERMAL, metadata=None, **options)
    for level in range(levels):
        thermal, source = tmp_path / f"{level}.vrt", thermal
        copy(source, thermal, driver="VRT")
    with pytest.raises(DataError, match=says):
        seen(rgb, thermal)


def test_padding_that_is_not_declared(tmp_path: Path) -> None:
    """One value, far from all others: said; refused where it would set the percentiles."""
    values = CELSIUS.copy()
    values[:, :40] = -10000
    rgb, thermal = write(tmp_path / "rgb.tif", RGB), write(tmp_path / "t.tif", values)
    told: list[str] = []
    fixed = ThermalScaling("kelvin", 263.15, 326.85, "celsius")
    predict_geotiff(
        make_predictor(thermal_dtype="float32", scaling=fixed), rgb, thermal, tmp_path / "a.tif", warn=told.append
    )
    assert any("33% of the pixels hold -10000, far from all others: padding" in text for text in told)
    gain = make_predictor(thermal_dtype="float32", scaling=ThermalScaling("gain_control", 1, 99))
    with pytest.raises(DataError, match=r"t\.tif: 33% of the pixels hold -10000.*gdal_edit\.py -a_nodata"):
        predict_geotiff(gain, rgb, thermal, tmp_path / "b.tif")
    gain.settings = replace(gain.settings, force_range=True)
    predict_geotiff(gain, rgb, thermal, tmp_path / "b.tif")
    declared = write(tmp_path / "t.tif", values, nodata=-10000)
    told.clear()
    gain.settings = replace(gain.settings, force_range=False)
    predict_geotiff(gain, rgb, declared, tmp_path / "c.tif", warn=told.append)
    assert not told
    assert content(tmp_path / "c.tif").shape == THERMAL.shape
