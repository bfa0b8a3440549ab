"""The commands of the guide for drone flights, on a synthetic flight with a drone's names and sizes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cimnet.checkpoint import ModelInfo, save_checkpoint
from cimnet.data import ThermalScaling
from cimnet.data.synthetic import render
from cimnet.models import create_model
from tests import ROOT
from tests.conftest import Result
from tests.docs.pages import fenced
from tests.docs.shell import commands_of
from tests.fakes.dji import shot, write_jpeg, write_rjpeg

rasterio = pytest.importorskip("rasterio")
GUIDE = list(fenced(ROOT / "docs" / "guides" / "drone-flight.md"))
COMMANDS = [words for block in GUIDE for words in commands_of(block.text)]
SEEN = (118.0, 90.0, 384.0, 307.2)
"""Left, top, width and height of what the thermal camera sees of a scene of 640x480: its lens is longer."""
CENTIMETRES = {"crs": "EPSG:32633", "transform": rasterio.transform.from_origin(500_000, 5_000_000, 0.05, 0.05)}


def thermal_place(x: float, y: float, rgb: tuple[int, int], thermal: tuple[int, int]) -> tuple[float, float]:
    """The pixel of the thermal image that sees what the RGB image shows at (x, y); sizes are (width, height)."""
    left, top, width, height = SEEN
    column, row = (x + 0.5) * 640 / rgb[0], (y + 0.5) * 480 / rgb[1]
    return (column - left) * thermal[0] / width - 0.5, (row - top) * thermal[1] / height - 0.5


def fly(mission: Path, rgb: tuple[int, int], thermal: tuple[int, int]) -> None:
    """Three shots: RGB and radiometric JPEG as the drone writes them, and what a converter makes of the second."""
    left, top, width, height = SEEN
    (mission / "celsius").mkdir(parents=True)
    for number in (1, 2, 3):
        pair = render(3, index=number, size=(480, 640))
        picture = Image.fromarray(pair.rgb).resize(rgb, Image.Resampling.BILINEAR)
        write_jpeg(mission / "flight" / f"{shot(number, 'V')}.JPG", np.array(picture), b"", "DJI", "M3T")
        box = (left, top, left + width, top + height)
        heat = np.array(Image.fromarray(pair.thermal).resize(thermal, Image.Resampling.BILINEAR, box))
        name = shot(number, "T", seconds=1)
        write_rjpeg(mission / "flight" / f"{name}.JPG", heat)
        celsius = heat.astype(np.float32) * np.float32(0.2)
        Image.fromarray(celsius).save(mission / "celsius" / f"{name}_temp_c.tiff")


def write_mosaics(folder: Path) -> None:
    """Two maps of one place, the thermal one half as fine."""
    folder.mkdir()
    pair = render(3, index=9, size=(480, 640))
    coarse = CENTIMETRES["transform"] * rasterio.Affine.scale(2)
    for name, bands, place in (
        ("rgb", np.moveaxis(pair.rgb, 2, 0), CENTIMETRES["transform"]),
        ("thermal", (pair.thermal[None, ::2, ::2] * 0.2).astype(np.float32), coarse),
    ):
        about = {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2], "dtype": bands.dtype}
        about |= CENTIMETRES | {"transform": place}
        with rasterio.open(folder / f"{name}.tif", "w", driver="GTiff", **about) as file:
            file.write(bands)


@pytest.fixture(params=[4, pytest.param(1, marks=pytest.mark.slow)], ids=["a quarter of the size", "4000x3000"])
def flight(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixel: None
) -> tuple[tuple[int, int], tuple[int, int]]:
    """A mission in the working folder, with the guide's classes.yaml, a checkpoint and two mosaics; the sizes."""
    rgb, thermal = ((width // request.param, height // request.param) for width, height in ((4000, 3000), (640, 512)))
    monkeypatch.chdir(tmp_path)
    fly(Path("mission"), rgb, thermal)
    text = next(block.text for block in GUIDE if block.language == "yaml")
    Path("mission/classes.yaml").write_text(text, encoding="utf-8")
    Path("runs/mine").mkdir(parents=True)
    classes, colors = ("background", "person", "vehicle"), ((0, 0, 0), (255, 0, 0), (0, 0, 255))
    scaling = ThermalScaling("kelvin", 270.0, 330.0, "celsius")
    info = ModelInfo("pixel_plain", {}, classes, colors, scaling, "float32")
    save_checkpoint(Path("runs/mine/best.safetensors"), create_model("pixel_plain", 3), info)
    write_mosaics(Path("ortho"))

    def click(rgb_image: np.ndarray, thermal_image: np.ndarray, path: Path) -> None:
        """Five points, as a person would match them."""
        assert (rgb_image.shape[:2][::-1], thermal_image.shape[::-1]) == (rgb, thermal)
        places = [
            (rgb[0] * x, rgb[1] * y) for x, y in ((0.25, 0.25), (0.7, 0.3), (0.7, 0.75), (0.25, 0.75), (0.5, 0.5))
        ]
        lines = [",".join(f"{value:.3f}" for value in (x, y, *thermal_place(x, y, rgb, thermal))) for x, y in places]
        path.write_text("rgb_x,rgb_y,thermal_x,thermal_y\n" + "\n".join(lines) + "\n", encoding="utf-8")

    monkeypatch.setattr("cimnet.registration.camera_calibration.pick_points", click)
    return rgb, thermal


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_the_commands_lead_from_files_to_masks(
    flight: tuple[tuple[int, int], tuple[int, int]], cli: Callable[..., Result]
) -> None:
    rgb, thermal = flight
    assert [command[0] for command in COMMANDS] == ["data", "data", "data", "predict", "geo-check", "geo"]
    for command in COMMANDS:
        done = cli(*command)
        assert done.code == 0, (command, done.out, done.err)
    kept = json.loads(Path("registered/alignment.json").read_text())
    for x, y in ((rgb[0] * 0.3, rgb[1] * 0.4), (rgb[0] * 0.7, rgb[1] * 0.6)):
        found = np.array(kept["matrix"]) @ [x, y, 1]
        assert np.abs(found - thermal_place(x, y, rgb, thermal)).max() < 0.1
    masks = sorted(Path("masks/masks").rglob("*.png"))
    images = sorted(Path("registered/flight").iterdir())
    assert (len(masks), len(images)) == (3, 3)
    for mask, image in zip(masks, images, strict=True):
        assert Image.open(mask).size == Image.open(image).size
        assert 0.5 * rgb[0] < Image.open(image).size[0] < 0.65 * rgb[0]  # what the thermal camera sees
    for folder in ("registered", "registered-again"):
        values = [np.array(Image.open(path)) for path in sorted(Path(folder, "celsius").iterdir())]
        assert {array.dtype.name for array in values} == {"float32"}
    assert Path("classes.tif").is_file()
    assert Path("classes.gpkg").is_file()


def test_the_drone_s_own_thermal_files_are_refused_by_the_camera_s_name(
    tmp_path: Path, pixel: None, cli: Callable[..., Result]
) -> None:
    fly(tmp_path / "mission", (160, 120), (160, 128))
    info = ModelInfo("pixel_plain", {}, ("a", "b"), ((0, 0, 0), (9, 9, 9)), thermal_dtype="uint8")
    save_checkpoint(tmp_path / "model.safetensors", create_model("pixel_plain", 2), info)
    folder = tmp_path / "mission" / "flight"
    done = cli("predict", tmp_path / "model.safetensors", "--rgb", folder, "--thermal", folder, "--out", tmp_path / "a")
    assert done.code == 2
    assert "a radiometric JPEG by DJI M3T, whose temperatures are not read here" in done.err
    picture = ("--thermal-band", "picture")
    alone = cli(
        "predict", tmp_path / "model.safetensors", "--thermal", folder / f"{shot(1, 'T', 1)}.JPG", *picture,
        "--out", tmp_path / "b",
    )  # fmt: skip
    assert alone.code == 0, alone.err
