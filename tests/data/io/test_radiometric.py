"""Radiometric JPEGs whose temperatures are not read: refused with the camera's name and the way out, or taken as the
8-bit pictures that they show, where the user says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cimnet.data import open_dataset
from cimnet.data.io.bands import Bands, parse_bands
from cimnet.data.io.facts import read_facts
from cimnet.data.io.readers import read_rgb
from cimnet.data.io.thermal_files import Wanted, read_thermal_counts, thermal_size
from cimnet.errors import ConfigError, DataError, DataWarning
from tests.fakes.dji import MODELS, raw_segments, segment, write_jpeg, write_rjpeg

HEIGHT, WIDTH = 64, 80
PICTURE = (np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)) % 200 + 20).astype(np.uint8)
WAY_OUT = r"write them as TIFF or \.npy with dji-thermal-cli, .*; or take its 8-bit picture, .*--thermal-band picture"
AS_PICTURE = Wanted(bands=Bands(thermal="picture"))


@pytest.mark.parametrize("model", MODELS)
def test_a_dji_file_is_refused_with_its_camera_and_the_way_out(tmp_path: Path, model: str) -> None:
    path = write_rjpeg(tmp_path / "DJI_0001_T.JPG", PICTURE, model)
    with pytest.raises(DataError, match=rf"_T\.JPG: a radiometric JPEG by DJI {model}, whose .*{WAY_OUT}"):
        read_thermal_counts(path)
    with pytest.raises(DataError, match=rf"by DJI {model}: its picture shows temperatures, not colours; give the RGB"):
        read_rgb(path, of_pair=True)


def test_other_makers_and_cameras_without_a_name(tmp_path: Path) -> None:
    grey = np.dstack([PICTURE] * 3)
    infiray = segment(0xE2, b"\0\0\0\1IJPEG\0" + bytes(20))
    raw = raw_segments(PICTURE.astype(np.uint16))
    cases = {
        "no model": (raw, "DJI", "", "by DJI, whose"),
        "infiray": (infiray, "", "", "by an InfiRay camera, .*InfiRay's own software"),
        "infiray, named": (infiray, "Infisense", "P2", "by Infisense P2, .*InfiRay's own software"),
        "another maker": (raw, "Autel Robotics", "XL801", "by Autel Robotics XL801, .*the camera maker's software"),
        "maker in the model": (raw, "ACME", "ACME T1", "by ACME T1, "),
        "no camera": (raw, "", "", "by a camera that it does not name, "),
        "in APP4 to APP9": (raw_segments(PICTURE.astype(np.uint16), 0xE9), "", "", "by a camera that it does not name"),
        "a name of several lines": (raw, "A\nB\x1b[31m", "C", r"by AB\[31m C, "),
    }
    for name, (segments, make, model, words) in cases.items():
        path = write_jpeg(tmp_path / f"{name}.jpg", grey, segments, make, model)
        with pytest.raises(DataError, match=words) as caught:
            read_thermal_counts(path)
        assert "\n" not in str(caught.value)


def test_pictures_with_other_segments_are_pictures(tmp_path: Path) -> None:
    """Previews, colour profiles, C2PA and small notes are no temperatures; nor is DJI's own RGB camera."""
    grey, bulk = np.dstack([PICTURE] * 3), bytes(HEIGHT * WIDTH)
    for name, segments in {
        "plain": b"",
        "note": segment(0xE5, bytes(300)),
        "preview": segment(0xE3, b"\xff\xd8" + bulk),
        "profile": segment(0xE2, b"ICC_PROFILE\0\1\1" + bulk),
        "c2pa": segment(0xEB, bulk),
    }.items():
        path = write_jpeg(tmp_path / f"{name}.jpg", grey, segments, "DJI" if name == "plain" else "ACME", "V")
        assert read_facts(path).maker == "", name
        assert read_rgb(path, of_pair=True).shape == (HEIGHT, WIDTH, 3)
        assert read_thermal_counts(path).dtype == np.uint8


def test_the_picture_is_taken_where_the_user_says_so(tmp_path: Path) -> None:
    path = write_rjpeg(tmp_path / "T.JPG", PICTURE)
    found = read_thermal_counts(path, AS_PICTURE)
    assert (found.dtype, found.shape, thermal_size(path, AS_PICTURE)) == (np.uint8, (HEIGHT, WIDTH), (HEIGHT, WIDTH))
    assert np.abs(found.astype(int) - PICTURE).mean() < 2  # JPEG
    coloured = write_jpeg(tmp_path / "C.JPG", np.dstack([PICTURE, 255 - PICTURE, PICTURE]), raw_segments(
        PICTURE.astype(np.uint16)), "DJI", "M3T")  # fmt: skip
    with pytest.raises(DataError, match="a thermal image with colours"):
        read_thermal_counts(coloured, AS_PICTURE)
    assert parse_bands(None, "picture", None) == Bands(thermal="picture")
    with pytest.raises(ConfigError, match=r"--thermal-band image: expected a band, e\.g\. 6, or picture"):
        parse_bands(None, "image", None)
    with pytest.warns(DataWarning, match="the picture in a radiometric JPEG"):
        assert read_rgb(path).shape == (HEIGHT, WIDTH, 3)


def test_a_data_set_of_pictures(tmp_path: Path) -> None:
    for number in range(2):
        write_jpeg(tmp_path / f"DJI_{number}_V.JPG", np.dstack([PICTURE] * 3), b"", "DJI", "M3T")
        write_rjpeg(tmp_path / f"DJI_{number}_T.JPG", PICTURE)
        (tmp_path / "labels").mkdir(exist_ok=True)
        Image.fromarray(PICTURE // 200).save(tmp_path / "labels" / f"{number}.png")
    lines = "classes: [a, b]\nfiles: {rgb: 'DJI_{name}_V', thermal: 'DJI_{name}_T'}\n"
    (tmp_path / "classes.yaml").write_text(lines)
    with pytest.raises(DataError, match=r"by DJI M3T.*bands: \{thermal: picture\}"):
        open_dataset(tmp_path, "all").check()
    (tmp_path / "classes.yaml").write_text(f"{lines}bands: {{thermal: picture}}\n")
    dataset = open_dataset(tmp_path, "all")
    dataset.check()
    assert dataset.thermal_dtype == "uint8"


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.9, 0.999])
def test_truncated_files_are_one_line(tmp_path: Path, kept: float) -> None:
    path = write_rjpeg(tmp_path / "T.JPG", PICTURE)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    for wanted in (None, AS_PICTURE):
        with pytest.raises(DataError, match=r"T\.JPG: ") as caught:
            read_thermal_counts(path, wanted)
        assert "\n" not in str(caught.value)
