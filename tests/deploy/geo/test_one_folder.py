"""A folder that holds one pair of rasters, and what its YAML says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("rasterio")
import rasterio

from cimnet.checkpoint import ModelInfo
from cimnet.cli.geo import _only_pair
from cimnet.data.io.bands import Bands
from cimnet.data.io.thermal_scaling import ThermalScaling
from cimnet.deploy.geo import predict_geotiff
from cimnet.errors import DataError
from cimnet.inference import Predictor, load
from cimnet.inference.settings import Settings
from tests.fakes.pixel import Pixel

from .conftest import CLASSES, COLORS, arrays, content, write

RGB, THERMAL = arrays()
PATTERNS = "files: {rgb: '{name}_V', thermal: '{name}_T'}\n"


def test_the_pair_of_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("site_rgb.tif", "site_thermal.tif"):
        (tmp_path / name).touch()
    assert _only_pair(tmp_path, tmp_path) == (tmp_path / "site_rgb.tif", tmp_path / "site_thermal.tif")
    assert "site_thermal.tif" in capsys.readouterr().out.replace("\n", "")
    for name in ("b_rgb.tif", "b_thermal.tif"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match="2 pairs by their names; give two files"):
        _only_pair(tmp_path, tmp_path)


@pytest.fixture
def checkpoint(tmp_path: Path, pixel: None) -> Path:
    """A checkpoint for whole hundredths of a degree Celsius, 15 to 35 degrees."""
    torch.manual_seed(0)
    scaling = ThermalScaling("kelvin", 288.15, 308.15, "centicelsius")
    info = ModelInfo("pixel_plain", {}, CLASSES, COLORS, scaling, thermal_dtype="uint16")
    Predictor(Pixel("plain", len(CLASSES)), info, torch.device("cpu")).save(tmp_path / "model")
    return tmp_path / "model"


def make_flight(folder: Path, yaml: str) -> Path:
    """A pair of rasters; the thermal one is in tenths of a degree, which it does not say."""
    folder.mkdir()
    write(folder / "a_V.tif", RGB)
    write(folder / "a_T.tif", THERMAL.astype(np.uint16) // 2 + 150)
    (folder / "classes.yaml").write_text(PATTERNS + yaml)
    return folder


UNIT = "thermal_range: {kind: kelvin, low: 280, high: 310, unit: decicelsius}\n"


@pytest.mark.parametrize(
    ("yaml", "options", "settings"),
    [
        (UNIT, (), {}),
        (UNIT + "bands: {rgb: [3, 2, 1]}\n", (), {"bands": Bands((3, 2, 1))}),
        (UNIT + "bands: {rgb: [3, 2, 1]}\n", ("--rgb-bands", "2,3,1"), {"bands": Bands((2, 3, 1))}),
        (UNIT + "bands: {rgb_range: [0, 100]}\n", (), {"bands": Bands(rgb_range=(0, 100))}),
    ],
    ids=["unit", "bands", "an option comes first", "range"],
)
def test_the_yaml_of_the_folder_says_how_its_pair_is_read(
    cli: Any, checkpoint: Path, tmp_path: Path, yaml: str, options: tuple[str, ...], settings: dict[str, Any]
) -> None:
    """As `cimnet predict` reads the files of a folder."""
    flight, out = make_flight(tmp_path / "flight", yaml), tmp_path / "out.tif"
    ran = cli("geo", checkpoint, "--rgb", flight, "--thermal", flight, "--out", out, *options)
    assert ran.code == 0, ran.err
    predictor = load(checkpoint, "cpu", thermal_unit="decicelsius", **settings)
    files = flight / "a_V.tif", flight / "a_T.tif"
    wanted = predictor.predict(*files)
    assert len(np.unique(wanted)) > 1
    np.testing.assert_array_equal(content(out), wanted)
    predict_geotiff(predictor, *files, tmp_path / "python.tif")
    np.testing.assert_array_equal(content(tmp_path / "python.tif"), wanted)


def test_the_yaml_of_the_folder_is_obeyed_or_refused(cli: Any, checkpoint: Path, tmp_path: Path) -> None:
    flight = make_flight(tmp_path / "flight", UNIT + "border: [4, 0, 0, 2]\n")
    command = "geo", checkpoint, "--rgb", flight, "--thermal", flight, "--out", tmp_path / "out.tif"
    ran = cli(*command)
    assert ran.code == 0
    assert "the border [4, 0, 0, 2] is not cut off" in " ".join(ran.out.split())
    (flight / "classes.yaml").write_text("second: {name: nir}\nfiles: {rgb: '{name}_V', nir: '{name}_T'}\n")
    ran = cli(*command, "--overwrite")
    assert ran.code != 0
    assert "its second images are nir (1 channel), where thermal (1 channel) is asked for" in " ".join(ran.err.split())


@pytest.mark.parametrize("unit", ["celsius", "decicelsius"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_unit_that_is_set_is_that_of_rasters_that_state_none(tmp_path: Path, dtype: str, unit: str) -> None:
    """Values are converted and rounded, or left alone, as those of files are."""
    scaling = ThermalScaling("kelvin", 283.15, 323.15, unit)
    model = Pixel("plain", len(CLASSES))
    info = ModelInfo("pixel_plain", {}, CLASSES, COLORS, scaling, thermal_dtype=dtype)
    predictor = Predictor(model, info, torch.device("cpu"), Settings(thermal_unit="celsius"))
    rgb = write(tmp_path / "rgb.tif", RGB)
    for kind in ("uint8", "uint16", "float32"):
        thermal = write(tmp_path / f"{kind}.tif", (10 + THERMAL % 40).astype(kind))
        for stated in (None, "K"):
            if stated:
                with rasterio.open(thermal, "r+") as file:
                    file.units = (stated,)
            found, wanted = (_outcome(predictor, rgb, thermal, tmp_path / "out.tif", way) for way in ("geo", "files"))
            if isinstance(wanted, str):
                assert isinstance(found, str), f"{kind} {stated}: geo does not refuse what files refuse: {wanted}"
            else:
                np.testing.assert_array_equal(found, wanted)


def _outcome(predictor: Predictor, rgb: Path, thermal: Path, out: Path, way: str) -> Any:
    """The classes, or the refusal as text."""
    try:
        if way == "files":
            return predictor.predict(rgb, thermal)
        predict_geotiff(predictor, rgb, thermal, out, overwrite=True, warn=lambda text: None)
        return content(out)
    except DataError as error:
        return str(error)
