"""One clear error for each thing that is wrong with a pair, and nothing left behind."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

pytest.importorskip("rasterio")
from rasterio.transform import Affine, from_origin

from cimnet.cli.geo import geo
from cimnet.deploy.geo import predict_geotiff
from cimnet.errors import CimnetError, ConfigError, DataError
from tests.conftest import Trained

from .conftest import arrays, content, make_predictor, moved, turned, write

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
RGB, THERMAL = arrays()
Make = Callable[[Path], tuple[Path, Path]]
LOCAL = 'LOCAL_CS["Local Coordinates (m)",UNIT["metre",1]]'
NOWHERE = {"crs": None, "transform": Affine.identity()}


def _pair(rgb: dict[str, object] | None = None, thermal: dict[str, object] | None = None) -> Make:
    """A maker of a pair with some arguments of `write` replaced."""

    def make(folder: Path) -> tuple[Path, Path]:
        first, second = {"values": RGB, **(rgb or {})}, {"values": THERMAL, **(thermal or {})}
        return write(folder / "rgb.tif", **first), write(folder / "thermal.tif", **second)  # type: ignore[arg-type]

    return make


def _four(values: np.ndarray, **profile: object) -> Make:
    def make(folder: Path) -> tuple[Path, Path]:
        path = write(folder / "both.tif", values, **profile)
        return path, path

    return make


def _broken(name: str, keep: float) -> Make:
    def make(folder: Path) -> tuple[Path, Path]:
        files = _pair()(folder)
        path = folder / name
        data = path.read_bytes()
        path.write_bytes(data[: int(keep * len(data))])
        return files

    return make


CASES: dict[str, tuple[Make, str]] = {
    "apart": (_pair(thermal={"transform": from_origin(600_000, 6_000_000, 0.5, 0.5)}), "do not overlap on the map"),
    "apart by a diagonal": (
        _pair({"transform": turned(45)}, {"transform": moved(70, -30)}),
        "do not overlap",
    ),
    "one without a CRS": (_pair(thermal={"crs": None}), r"thermal.tif: no coordinate reference system.*-a_srs"),
    "a local system": (_pair({"crs": LOCAL}), "rgb.tif: no transformation between their coordinate reference systems"),
    "both without, sizes differ": (_pair(NOWHERE, {**NOWHERE, "values": THERMAL[:40]}), "neither has a coord"),
    "no geotransform": (_pair({"transform": Affine.identity()}), r"rgb.tif: no geotransform.*-a_ullr"),
    "no geotransform of the thermal one": (_pair(thermal={"transform": Affine.identity()}), "thermal.tif: no geotr"),
    "no geotransform of one for both": (
        _four(np.dstack((RGB, THERMAL)), transform=Affine.identity()),
        r"both.tif: no geotransform.*-a_ullr",
    ),
    "grey": (_pair({"values": RGB[..., 0]}), r"rgb.tif: 1 band, expected red, green, blue.*gdal_translate"),
    "five bands": (_pair({"values": np.dstack((RGB, RGB))[..., :5]}), "5 bands"),
    "thermal of three bands": (_pair(thermal={"values": RGB}), "thermal.tif: 3 bands.*one thermal band"),
    "three bands for both": (_four(RGB), "both.tif: 3 bands; given for RGB and thermal it needs four"),
    "opacity for thermal": (_four(np.dstack((RGB, np.full((80, 120), 255, np.uint8)))), "fourth band is opacity"),
    "16-bit RGB": (_pair({"values": RGB.astype(np.uint16)}), "type uint16, expected uint8.*-scale LOW HIGH 0 255"),
    "16-bit thermal": (_pair(thermal={"values": THERMAL.astype(np.uint16)}), "uint16 where uint8 is expected"),
    "negative counts": (_pair(thermal={"values": -THERMAL.astype(np.int16)}), "type int16 where uint8 is expected"),
    "cut RGB": (_broken("rgb.tif", 0.5), "rgb.tif: cannot be read.*truncated"),
    "cut thermal": (_broken("thermal.tif", 0.5), "thermal.tif: cannot be read.*truncated"),
    "cut header": (_broken("rgb.tif", 0.001), "rgb.tif: cannot be read"),
    "missing": (lambda folder: (folder / "rgb.tif", folder / "thermal.tif"), "rgb.tif: no such file"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_pair_that_cannot_be_used(tmp_path: Path, case: str) -> None:
    make, message = CASES[case]
    files = make(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(DataError, match=message) as caught:
        predict_geotiff(make_predictor(), *files, tmp_path / "out.tif", areas=tmp_path / "areas.csv")
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


def test_rasters_that_touch_by_a_corner_are_used(tmp_path: Path) -> None:
    files = _pair(thermal={"transform": moved(118, 78)})(tmp_path)
    predict_geotiff(make_predictor(), *files, tmp_path / "out.tif")
    assert (content(tmp_path / "out.tif")[:78] == (RGB[:78, :, 0] > 127)).all()


def test_float_values_need_a_range(tmp_path: Path) -> None:
    files = _pair(thermal={"values": THERMAL.astype(np.float32)})(tmp_path)
    with pytest.raises(DataError, match="float thermal values need a thermal_range"):
        predict_geotiff(make_predictor(thermal_dtype=None), *files, tmp_path / "out.tif")


def test_names_of_outputs(tmp_path: Path) -> None:
    files = _pair()(tmp_path)
    with pytest.raises(ConfigError, match=r"ends in \.tif"):
        predict_geotiff(make_predictor(), *files, tmp_path / "out.png")
    for names in ({"out": files[0]}, {"out": tmp_path / "a.tif", "areas": tmp_path / "a.tif"}):
        with pytest.raises(ConfigError, match="names of their own"):
            predict_geotiff(make_predictor(), *files, overwrite=True, **names)
    (tmp_path / "file").write_text("")
    with pytest.raises(CimnetError, match="cannot be written"):
        predict_geotiff(make_predictor(), *files, tmp_path / "file" / "out.tif")
    np.testing.assert_array_equal(content(files[1]), THERMAL)


def test_without_rasterio_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("cimnet.deploy.geo")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(ConfigError, match=r'pip install "cimnet\[geo\]"'):
        __import__("cimnet.deploy.geo")


def test_the_command(trained: Trained, tmp_path: Path) -> None:
    files = _pair()(tmp_path)
    app = typer.Typer()
    app.command()(geo)
    arguments = [trained.folder, "--rgb", files[0], "--thermal", files[1], "--out", tmp_path / "out.tif"]
    more = ["--areas", tmp_path / "a.csv", "--polygons", tmp_path / "p.gpkg", "--window", 64, "--device", "cpu"]
    result = CliRunner().invoke(app, [str(word) for word in arguments + more], catch_exceptions=False)
    assert result.exit_code == 0
    assert "polygons: " in result.output
    assert " ha" in result.output
    assert content(tmp_path / "out.tif").shape == (80, 120)
    assert (tmp_path / "a.csv").read_text().startswith("id,class,pixels,share,area_m2,area_ha\n")
    with pytest.raises(CimnetError, match="exists already"):
        CliRunner().invoke(app, [str(word) for word in arguments], catch_exceptions=False)
