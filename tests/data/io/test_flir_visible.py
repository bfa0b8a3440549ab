"""The visible picture inside a radiometric FLIR JPEG as the RGB image: cut and turned as the thermal image is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from cimnet.checkpoint import ModelInfo
from cimnet.curation.check import check_dataset
from cimnet.curation.convert import convert
from cimnet.data import open_dataset, read_rgb, read_thermal_counts
from cimnet.data.io.bands import Bands, parse_bands
from cimnet.data.io.pixels import turned
from cimnet.data.io.thermal_files import Wanted, read_pair, thermal_unit
from cimnet.data.io.thermal_scaling import ThermalScaling
from cimnet.deploy.video.predict_video import open_sources
from cimnet.deploy.video.video_settings import VideoSettings
from cimnet.errors import ConfigError, DataError, DataWarning
from cimnet.inference.images import pair_tensors
from tests.fakes import flir
from tests.faults.attacks.bombs import jpeg_exif, tiff_tags

flyr = pytest.importorskip("flyr")

HEIGHT, WIDTH = 60, 80
KELVIN = np.linspace(270.0, 330.0, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
RAW = flir.to_raw(KELVIN)
EMBEDDED = Bands("embedded")


def sees(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """The colours (…, 3) of a plane at places in thermal pixels: red goes right, green down, blue in a wave."""
    red, green = 40 + 170 * x / WIDTH, 40 + 170 * y / HEIGHT
    blue = 128 + 80 * np.sin(x / 9) * np.cos(y / 7)
    return np.stack([red, green, blue], axis=-1).clip(0, 255).round().astype(np.uint8)


def photograph(real_to_ir: float, offset: tuple[int, int], size: tuple[int, int] = (320, 240)) -> Image.Image:
    """What a visible camera of that field of view shows of the plane, pixel centre by pixel centre."""
    columns, rows = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
    scale = WIDTH * real_to_ir / size[0]  # thermal pixels a visible one
    x = WIDTH / 2 + (columns - size[0] / 2 - offset[0]) * scale
    y = HEIGHT / 2 + (rows - size[1] / 2 - offset[1]) * scale
    return Image.fromarray(sees(x, y))


def plane() -> npt.NDArray[np.int16]:
    columns, rows = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    return sees(columns, rows).astype(np.int16)


def write(
    path: Path, ratio: float = 1.4, offset: tuple[int, int] = (12, -9), orientation: int = 1, **size: Any
) -> Path:
    picture = flir.visible(photograph(ratio, offset, **size), quality=95, subsampling=0)
    return flir.write_both(path, RAW, picture, flir.place(ratio, *offset), orientation)


@pytest.mark.parametrize("offset", [(0, 0), (12, -9), (-25, 14)])
@pytest.mark.parametrize("ratio", [1.25, 1.4, 2.0])
@pytest.mark.parametrize("size", [(320, 240), (640, 512)])
def test_it_shows_what_the_thermal_image_shows(
    tmp_path: Path, ratio: float, offset: tuple[int, int], size: tuple[int, int]
) -> None:
    path = write(tmp_path / "both.jpg", ratio, offset, size=size)
    found = read_rgb(path, EMBEDDED, of_pair=True)
    assert found.shape == (HEIGHT, WIDTH, 3)
    difference = np.abs(found - plane())
    assert difference.mean() < 2
    assert difference[..., :2].max() < 8  # of one thermal pixel to the next: 2 to 3


def test_it_lies_where_flyr_puts_the_thermal_image(tmp_path: Path) -> None:
    """An independent reader: it pastes a white thermal image into the visible picture; what is cut out is white."""
    ratio, offset = 1.6, (17, -8)
    picture = Image.new("RGB", (320, 240), (0, 60, 0))
    path = flir.write_both(tmp_path / "a.jpg", RAW, flir.visible(picture), flir.place(ratio, *offset))
    with path.open("rb") as file:
        thermogram = flyr.unpack(file)
    pasted = thermogram.picture_in_picture_pil(render=Image.new("RGB", (WIDTH, HEIGHT), "white"), render_crop=False)
    second = flir.write_both(tmp_path / "b.jpg", RAW, flir.visible(pasted, quality=95), flir.place(ratio, *offset))
    found = read_rgb(second, EMBEDDED)
    assert found[1:-1, 1:-1].min() > 235
    moved = flir.write_both(tmp_path / "c.jpg", RAW, flir.visible(pasted, quality=95), flir.place(ratio, 30, -8))
    assert read_rgb(moved, EMBEDDED).min() < 100


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_as_the_temperatures_are(tmp_path: Path, orientation: int) -> None:
    path = write(tmp_path / "both.jpg", orientation=orientation)
    rgb, kelvin = read_pair(path, path, Wanted(bands=EMBEDDED))
    assert rgb.shape[:2] == kelvin.shape
    expected = turned(plane(), orientation)
    assert np.abs(rgb - expected)[..., :2].max() < 8
    np.testing.assert_allclose(kelvin, turned(KELVIN, orientation), atol=0.05)


def test_a_little_less_than_the_thermal_image(tmp_path: Path) -> None:
    path = write(tmp_path / "both.jpg", 1.01, (6, 0))
    with pytest.warns(
        DataWarning, match=r"both\.jpg: its visible picture lacks 1\.\d% of what the thermal image shows"
    ):
        found = read_rgb(path, EMBEDDED)
    assert found[:, -1].max() < 30
    assert np.abs(found - plane())[:, :-4, :2].max() < 8


def png() -> bytes:
    return flir.visible(photograph(1.4, (0, 0)), "PNG")


def with_a_tag() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return flir.visible(photograph(1.4, (0, 0)), exif=exif)


def cut_off() -> bytes:
    return flir.visible(photograph(1.4, (0, 0)))[:300]


GOOD = flir.visible(photograph(1.4, (0, 0)))
PLACE = flir.place(1.4, 0, 0)
REFUSED: dict[str, tuple[bytes, bytes | None, str]] = {
    "no place": (GOOD, None, "does not say where the thermal image lies in its visible picture"),
    "a place cut off": (GOOD, PLACE[:5], "does not say where the thermal image lies in its visible picture"),
    "no ratio": (GOOD, flir.place(0.0, 0, 0), r"is not plausible \(Real2IR 0, OffsetX 0, OffsetY 0\)"),
    "ratio not a number": (GOOD, flir.place(float("nan"), 0, 0), "is not plausible"),
    "ratio below zero": (GOOD, flir.place(-1.4, 0, 0), "is not plausible"),
    "a wider thermal image": (GOOD, flir.place(0.8, 0, 0), "lacks 36% of what the thermal image shows"),
    "another place": (GOOD, flir.place(1.4, 900, 0), "lacks 100% of what the thermal image shows"),
    "no picture": (b"", PLACE, "holds no visible picture; give the RGB images as files of their own"),
    "png": (png(), PLACE, "is not a JPEG, and the file does not say whether its colours are RGB or YCbCr"),
    "a tag of its own": (with_a_tag(), PLACE, "has an orientation tag of its own"),
    "cut off": (cut_off(), PLACE, "cannot be read"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_name(tmp_path: Path, case: str) -> None:
    visible, place, words = REFUSED[case]
    path = flir.write_both(tmp_path / "both.jpg", RAW, visible, place)
    with pytest.raises(DataError, match=words) as caught:
        read_rgb(path, EMBEDDED)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert read_thermal_counts(path).shape == (HEIGHT, WIDTH)


def test_other_files_hold_no_visible_picture(tmp_path: Path) -> None:
    plain = tmp_path / "plain.jpg"
    plain.write_bytes(flir.picture())
    with pytest.raises(DataError, match="not a radiometric FLIR JPEG, so there is no visible picture inside"):
        read_rgb(plain, EMBEDDED)


def test_by_wish_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "both.jpg")
    with pytest.raises(
        DataError, match=r"taken by --rgb-bands embedded, or `bands: \{rgb: embedded\}` in classes\.yaml"
    ):
        read_rgb(path, of_pair=True)


def test_the_options() -> None:
    assert parse_bands("embedded", None, None) == EMBEDDED
    for given in (("embedded", "4", None), ("embedded", None, "0,4095"), ("inside", None, None)):
        with pytest.raises(ConfigError, match=r"embedded|expected three bands"):
            parse_bands(*given)


def folder(root: Path, one: bool) -> Path:
    """A data set of radiometric files alone: in one folder, or as copies in two."""
    for kind in ("images",) if one else ("rgb", "thermal"):
        (root / kind).mkdir(parents=True)
        for number in range(3):
            write(root / kind / f"FLIR{number:04d}.jpg", offset=(4 * number, 0))
    (root / "labels").mkdir()
    for number in range(3):
        label = np.zeros((HEIGHT, WIDTH), np.uint8)
        label[:, WIDTH // 2 :] = 1
        Image.fromarray(label).save(root / "labels" / f"FLIR{number:04d}.png")
    files = "files: {rgb: 'images/{name}', thermal: 'images/{name}', labels: 'labels/{name}'}\n" if one else ""
    (root / "classes.yaml").write_text(
        f"classes: [left, right]\nbands: {{rgb: embedded}}\n{files}"
        "thermal_range: {kind: kelvin, low: 270, high: 330, unit: kelvin}\n"
    )
    (root / "train.txt").write_text("FLIR0000\nFLIR0001\nFLIR0002\n")
    return root


@pytest.mark.parametrize("one", [True, False])
def test_a_data_set(tmp_path: Path, one: bool) -> None:
    folder(tmp_path, one)
    dataset = open_dataset(tmp_path, "train")
    assert dataset.check().tolist() == [3 * HEIGHT * WIDTH // 2] * 2
    for index in range(3):
        sample = dataset[index]
        assert (sample.rgb * 255 - torch.from_numpy(plane()).permute(2, 0, 1))[:2].abs().max() < 8
        np.testing.assert_allclose(sample.thermal[0].numpy(), (KELVIN - 270) / 60, atol=1e-3)
    errors = [finding for finding in check_dataset(tmp_path, workers=1).findings if finding.severity == "error"]
    assert not errors


@pytest.mark.parametrize("one", [True, False])
def test_it_is_converted_to_two_files(tmp_path: Path, one: bool) -> None:
    """Where the files say that they are temperatures: a data set without `bands` would refuse a copy."""
    before = open_dataset(folder(tmp_path / "source", one), "train")
    after = open_dataset(convert(tmp_path / "source", tmp_path / "there", "folder"), "train")
    for index in range(3):
        for left, right in zip(before.arrays(index), after.arrays(index), strict=True):
            np.testing.assert_array_equal(left, right)
    thermal = after.pairs[0].thermal
    assert thermal is not None
    assert thermal_unit(thermal) == "kelvin"


def test_a_bomb_in_the_picture_inside(tmp_path: Path) -> None:
    """Tags of the picture inside share their values, as those of a whole file may (see test_images)."""
    record = flir.visible(photograph(1.4, (0, 0)))[:32] + jpeg_exif(tiff_tags(4_000, 800_000))
    path = flir.write_both(tmp_path / "both.jpg", RAW, record, PLACE)
    with pytest.raises(DataError, match="its tags hold"):
        read_rgb(path, EMBEDDED)


def test_predict_takes_it(tmp_path: Path) -> None:
    """One file for both sensors, and for RGB alone; as `Predictor.predict` and `cimnet predict` make tensors."""
    path = write(tmp_path / "both.jpg")
    scaling = ThermalScaling("kelvin", 270, 330, "kelvin")
    info = ModelInfo("any", {}, ("a", "b"), ((0, 0, 0), (9, 9, 9)), scaling, "float32")
    rgb, thermal = pair_tensors(path, path, info, bands=EMBEDDED)
    assert (rgb * 255 - torch.from_numpy(plane()).permute(2, 0, 1))[:2].abs().max() < 8
    np.testing.assert_allclose(thermal[0].numpy(), (KELVIN - 270) / 60, atol=1e-3)
    alone, black = pair_tensors(path, None, info, bands=EMBEDDED)
    assert torch.equal(alone, rgb)
    assert not black.any()
    with pytest.raises(DataError, match="shows the temperatures"):
        pair_tensors(path, None, info)


def test_video_takes_it(tmp_path: Path) -> None:
    """A folder of radiometric files for both sensors; a video file holds none."""
    for number in range(3):
        write(tmp_path / f"FLIR{number:04d}.jpg", offset=(5 * number, 0))
    asked = VideoSettings(fps=4.0, rgb_embedded=True)
    settings, (rgb, thermal) = open_sources(tmp_path, tmp_path, asked, str, Wanted("kelvin"))
    assert (settings.fps, settings.thermal_fps) == (4.0, 4.0)
    pairs = list(zip(rgb.frames(), thermal.frames(), strict=True))
    assert [(a.time, b.time) for a, b in pairs] == [(0.0, 0.0), (0.25, 0.25), (0.5, 0.5)]
    for one, other in pairs:
        assert np.abs(one.image.astype(int) - plane())[..., :2].max() < 8
        np.testing.assert_allclose(other.image, KELVIN, atol=0.05)
    film = tmp_path / "film.mp4"
    film.write_bytes(b"x")
    asked = replace(asked, fps=None, thermal_fps=4.0)
    with pytest.raises(ConfigError, match=r"rgb_embedded: .*film\.mp4 is not a folder of FLIR JPEGs"):
        open_sources(film, tmp_path, asked, str, Wanted("kelvin"))
