"""Bands of pictures that are no TIFF, of 4-channel files and of arrays: what a choice of bands may not pass over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cimnet.curation.check.decode_pair import Job, Settings, read_files
from cimnet.data import open_dataset
from cimnet.data.io.bands import Bands
from cimnet.data.io.second_modality import SecondModality
from cimnet.data.io.thermal_files import Wanted, read_pair, read_thermal_counts, thermal_size
from cimnet.errors import DataError
from tests.fakes.bands import write_bands
from tests.fakes.dji import write_rjpeg

pytest.importorskip("rasterio")
GREY = np.tile(np.arange(48, dtype=np.uint8) * 4, (32, 1))
COLOURS = np.random.default_rng(0).integers(0, 200, (32, 48, 4), np.uint8)
FIRST = Wanted(bands=Bands(thermal=1))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_chosen_band_is_turned_as_the_picture_is(tmp_path: Path, name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(GREY).save(tmp_path / name, exif=exif)
    wanted = read_thermal_counts(tmp_path / name)
    np.testing.assert_array_equal(read_thermal_counts(tmp_path / name, FIRST), wanted)
    assert thermal_size(tmp_path / name, FIRST) == wanted.shape


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_places_in_a_palette_are_no_values(tmp_path: Path, name: str) -> None:
    picture = Image.fromarray(GREY, "P")
    picture.putpalette([(255 - n) for n in range(256) for _ in "rgb"])
    picture.save(tmp_path / name)
    with pytest.raises(DataError, match=r"a palette image, .* leave the choice of bands out"):
        read_thermal_counts(tmp_path / name, FIRST)


def test_a_band_of_a_radiometric_jpeg_is_no_temperature(tmp_path: Path) -> None:
    path = write_rjpeg(tmp_path / "DJI_0001_T.JPG", GREY, "M3T")
    for wanted in (FIRST, Wanted(second=SecondModality("nir", 3))):
        with pytest.raises(DataError, match=r"a radiometric JPEG, .*or take the picture"):
            read_thermal_counts(path, wanted)


def test_a_file_that_names_another_one_inside(tmp_path: Path) -> None:
    """GDAL would open it, whatever it is."""
    import rasterio

    path = write_bands(tmp_path / "a.tif", np.zeros((2, 32, 48), np.uint16))
    with rasterio.open(path, "r+") as file:
        file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE="/elsewhere/b.tif")
    with pytest.raises(DataError, match=r"a\.tif: names another file \(OVERVIEW_FILE\)"):
        read_thermal_counts(path, FIRST)


def test_colours_are_chosen_of_a_4_channel_file_too(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(COLOURS, "RGBA").save(path)
    bands = Bands(rgb=(3, 2, 1), rgb_range=(0, 200))
    rgb, thermal = read_pair(path, path, Wanted(bands=bands))
    np.testing.assert_array_equal(rgb, np.rint(COLOURS[..., 2::-1].astype(np.float32) * (255 / 200)))
    np.testing.assert_array_equal(thermal, COLOURS[..., 3])
    checked = read_files(Job("a", path, path, None), Settings(bands=bands))
    np.testing.assert_array_equal(checked.rgb, rgb)


def test_a_4_channel_file_holds_one_thermal_channel(tmp_path: Path) -> None:
    (tmp_path / "img").mkdir()
    Image.fromarray(COLOURS, "RGBA").save(tmp_path / "img" / "a.png")
    (tmp_path / "classes.yaml").write_text(
        "classes: [ground, plant]\nsecond: {name: nir, channels: 2}\nfiles: {rgb: 'img/{name}', nir: 'img/{name}'}\n"
    )
    (tmp_path / "train.txt").write_text("a\n")
    with pytest.raises(DataError, match=r"a\.png: given for both images, where nir \(2 channels\) is expected"):
        open_dataset(tmp_path, "train", require_labels=False)[0]


def test_no_bands_are_chosen_of_an_array(tmp_path: Path) -> None:
    path, nir = tmp_path / "a.npy", SecondModality("nir", 2)
    np.save(path, COLOURS[..., :2])
    for numbers in (None, (1, 2)):  # all, in the order of the array
        wanted = Wanted(bands=None if numbers is None else Bands(thermal=numbers), second=nir)
        np.testing.assert_array_equal(read_thermal_counts(path, wanted), COLOURS[..., :2])
    with pytest.raises(DataError, match=r"a\.npy: bands are chosen of image files, not of arrays"):
        read_thermal_counts(path, Wanted(bands=Bands(thermal=(2, 1)), second=nir))


@pytest.mark.parametrize("black", [(1, 2, 3), (4, 5, 6)])
def test_a_broken_sensor_is_told_by_the_chosen_bands(tmp_path: Path, black: tuple[int, ...]) -> None:
    values = np.full((6, 32, 48), 90, np.uint8)
    values[[number - 1 for number in black]] = 0
    write_bands(tmp_path / "img" / "a.tif", values)
    (tmp_path / "classes.yaml").write_text(
        "classes: [ground]\nfiles: {rgb: 'img/{name}', thermal: 'img/{name}'}\nbands: {rgb: [3, 2, 1], thermal: 6}\n"
    )
    (tmp_path / "broken_in_all.txt").write_text("a\n")
    flag = "rgb_broken" if black == (1, 2, 3) else "thermal_broken"
    assert open_dataset(tmp_path, "all", require_labels=False).flags == [frozenset({flag})]
