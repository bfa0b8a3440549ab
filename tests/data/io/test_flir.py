"""Radiometric FLIR JPEG: the temperatures beside the picture are read, and damaged records are one-line errors."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from cimnet.data import open_dataset, read_rgb, read_thermal_counts
from cimnet.data.io.thermal_files import thermal_size
from cimnet.errors import DataError, DataWarning
from tests.fakes import flir
from tests.fakes.layouts import HEIGHT, WIDTH, make_folder

pytest.importorskip("flyr")

KELVIN = np.linspace(270.0, 330.0, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
RAW = flir.to_raw(KELVIN)
EXACT = np.array([[flir.to_kelvin(int(value)) for value in row] for row in RAW])


def test_the_formula_there_and_back() -> None:
    assert flir.to_kelvin(18000) == pytest.approx(1428 / np.log(16556 / (0.04585 * (18000 - 342)) + 1), abs=1e-9)
    assert np.abs(EXACT - KELVIN).max() < 0.02  # rounding to counts
    assert len(np.unique(RAW)) == RAW.size


@pytest.mark.parametrize("as_png", [False, True])
@pytest.mark.parametrize("ext", ["jpg", "JPEG"])
def test_kelvin_of_the_raw_counts(tmp_path: Path, as_png: bool, ext: str) -> None:
    path = flir.write_flir(tmp_path / f"flir.{ext}", RAW, as_png)
    kelvin = read_thermal_counts(path)
    assert kelvin.dtype == np.float32
    np.testing.assert_allclose(kelvin, EXACT, rtol=0, atol=1e-3)
    assert thermal_size(path) == (HEIGHT, WIDTH)
    with pytest.raises(DataError, match=r"a radiometric FLIR JPEG: its picture shows the temperatures, not colours"):
        read_rgb(path, of_pair=True)
    with pytest.warns(DataWarning, match="it shows temperatures, not colours"):
        assert read_rgb(path).shape == (60, 80, 3)


def test_records_in_several_segments(tmp_path: Path) -> None:
    """A segment holds 64 kB: 200 x 300 counts need two."""
    raw = np.random.default_rng(0).integers(12000, 20000, (200, 300), dtype=np.uint16)
    path = flir.write_flir(tmp_path / "large.jpg", raw)
    assert path.read_bytes().count(b"FLIR\0") == 2
    kelvin = read_thermal_counts(path)
    assert kelvin.shape == (200, 300)
    assert kelvin[199, 299] == pytest.approx(flir.to_kelvin(int(raw[199, 299])), abs=1e-3)
    small = flir.write_flir(tmp_path / "small.jpg", RAW, chunk=500)
    np.testing.assert_allclose(read_thermal_counts(small), EXACT, rtol=0, atol=1e-3)


def folder(root: Path) -> Path:
    """The generic layout with radiometric JPEGs."""
    make_folder(root, ext="jpg")
    for path in (root / "thermal").iterdir():
        flir.write_flir(path, RAW)
    return root


def test_through_a_data_set(tmp_path: Path) -> None:
    folder(tmp_path)
    with pytest.raises(DataError, match=r"000\.jpg: float thermal values need a thermal_range"):
        open_dataset(tmp_path, "train")[0]
    (tmp_path / "dataset.yaml").write_text(
        "classes: [background, person, car]\nthermal_range: {kind: kelvin, low: 270, high: 330, unit: kelvin}\n"
    )
    (tmp_path / "classes.yaml").unlink()
    dataset = open_dataset(tmp_path, "train")
    expected = torch.from_numpy((EXACT - 270) / 60).clamp(0, 1).float()
    torch.testing.assert_close(dataset[0].thermal[0], expected, rtol=0, atol=1e-4)
    dataset.check()
    assert dataset.thermal_dtype == "float32"


def test_temperatures_of_another_size_than_the_rgb_image(tmp_path: Path) -> None:
    """The size of the temperatures counts, not of the picture beside them."""
    folder(tmp_path)
    flir.write_flir(tmp_path / "thermal" / "001.jpg", RAW[:20, :30])
    with pytest.raises(DataError, match=r"thermal/001\.jpg is 30x20 but .*rgb/001\.jpg is 40x32"):
        open_dataset(tmp_path, "train")


def without_camera_info(path: Path) -> None:
    flir.write_records(path, flir.chunks(flir.records({flir.RAW_DATA: flir.raw_data(RAW)})))


def without_counts(path: Path) -> None:
    flir.write_records(path, flir.chunks(flir.records({flir.CAMERA_INFO: flir.camera_info()})))


def of_another_size(path: Path) -> None:
    record = bytearray(flir.raw_data(RAW))
    record[2] += 1
    entries = {flir.CAMERA_INFO: flir.camera_info(), flir.RAW_DATA: bytes(record)}
    flir.write_records(path, flir.chunks(flir.records(entries)))


def without_a_segment(path: Path) -> None:
    entries = {flir.RAW_DATA: flir.raw_data(RAW), flir.CAMERA_INFO: flir.camera_info()}
    segments = flir.chunks(flir.records(entries), 1000)
    flir.write_records(path, segments[:1] + segments[2:])


def a_segment_twice(path: Path) -> None:
    entries = {flir.RAW_DATA: flir.raw_data(RAW), flir.CAMERA_INFO: flir.camera_info()}
    segments = flir.chunks(flir.records(entries), 1000)
    flir.write_records(path, [segments[0], *segments])


def with_constants_of_zero(path: Path) -> None:
    entries = {flir.RAW_DATA: flir.raw_data(RAW), flir.CAMERA_INFO: flir.camera_info(emissivity=0.0, r2=0.0)}
    flir.write_records(path, flir.chunks(flir.records(entries)))


def of_zeros(path: Path) -> None:
    flir.write_records(path, flir.chunks(bytes(3000)))


def of_four_bytes(path: Path) -> None:
    flir.write_records(path, flir.chunks(b"FFF\0"))


def cut_off(path: Path) -> None:
    path.write_bytes(flir.write_flir(path, RAW).read_bytes()[:2000])


@pytest.mark.parametrize(
    "damage",
    [
        without_camera_info,
        without_counts,
        of_another_size,
        without_a_segment,
        a_segment_twice,
        with_constants_of_zero,
        of_zeros,
        of_four_bytes,
        cut_off,
    ],
)
@pytest.mark.parametrize("read", [read_thermal_counts, thermal_size])
def test_a_damaged_record(tmp_path: Path, damage: Callable[[Path], None], read: Callable[[Path], object]) -> None:
    path = tmp_path / "damaged.jpg"
    damage(path)
    with pytest.raises(DataError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    if damage is not cut_off:  # in the picture, which Pillow notes first
        assert "its FLIR temperature record cannot be read" in message
        assert "export it as TIFF" in message


def test_temperatures_that_are_none(tmp_path: Path) -> None:
    """Counts below the camera's offset have no temperature."""
    path = flir.write_flir(tmp_path / "cold.jpg", np.full((4, 5), 100, np.uint16))
    with pytest.raises(DataError, match=r"cold\.jpg: 20 of 20 thermal values are not finite .*, 100%; fill them"):
        read_thermal_counts(path)


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path)
    monkeypatch.setitem(sys.modules, "flyr", None)
    with pytest.raises(DataError, match=r'00\d\.jpg: .*radiometric FLIR JPEG: .*; pip install "cimnet\[thermal\]"$'):
        open_dataset(tmp_path, "train")


def test_a_plain_jpeg_needs_no_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flyr", None)
    path = tmp_path / "plain.jpg"
    path.write_bytes(flir.picture())
    assert thermal_size(path) == (60, 80)
    assert read_thermal_counts(path).dtype == np.uint8
