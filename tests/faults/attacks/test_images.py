"""Images that would fill the memory or take hours are refused before they are decoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cimnet.data.io.open_image import image_size
from cimnet.data.io.readers import read_label, read_rgb
from cimnet.data.io.thermal_files import read_thermal_counts
from cimnet.errors import DataError
from tests.faults.attacks.bombs import BOMBS, jpeg_exif, jpeg_scans, tiff_tags
from tests.faults.attacks.bounds import bounded


@pytest.mark.parametrize("name", BOMBS)
def test_tags_that_hold_more_than_the_file(name: str, tmp_path: Path) -> None:
    ending, content = BOMBS[name]
    path = tmp_path / f"bomb.{ending}"
    path.write_bytes(content)
    assert len(content) < 1_100_000
    for read in (image_size, read_rgb, read_label, read_thermal_counts):
        with (
            bounded(1, 50),
            pytest.raises(DataError, match=r"bomb\.\w+: (its tags hold|a table of|a JPEG of more than)"),
        ):
            read(path)


@pytest.mark.parametrize("ending", ["tif", "png", "jpg"])
def test_tags_of_a_camera_are_none(ending: str, tmp_path: Path) -> None:
    image = Image.fromarray(np.full((32, 40, 3), 77, np.uint8))
    exif = Image.Exif()
    for tag in (0x010E, 0x010F, 0x0110, 0x0131, 0x013B):
        exif[tag] = "a camera's words " * 30
    image.save(tmp_path / f"a.{ending}", exif=exif)
    assert abs(int(read_rgb(tmp_path / f"a.{ending}")[0, 0, 0]) - 77) <= 2


@pytest.mark.parametrize("count", [0, 5, 90])
def test_scans_of_a_camera_are_read(count: int, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg_scans(count, 100))
    assert read_rgb(path).shape == (100, 100, 3)


def test_scans_are_counted_by_their_markers(tmp_path: Path) -> None:
    """Not by chance in another segment: counts of a thermal record hold the bytes of a scan's marker, too."""
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg_exif(b"\xff\xda" * 30_000, 0xE7, b"RAW\0"))
    assert image_size(path) == (32, 32)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (600, 800, 3), dtype=np.uint8)).save(path, quality=95, progressive=True)
    assert image_size(path) == (600, 800)


def test_tables_in_a_ring(tmp_path: Path) -> None:
    content = bytearray(tiff_tags(3, 40))
    place = 8 + 2 + 12 * int.from_bytes(content[8:10], "little")
    content[place : place + 4] = (8).to_bytes(4, "little")
    (tmp_path / "ring.tif").write_bytes(content + bytes(1024))
    with bounded(1):
        assert image_size(tmp_path / "ring.tif") == (32, 32)
