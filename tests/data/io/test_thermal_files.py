"""Thermal TIFF of cameras and software, JPEG of drones with a second picture behind the first."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from cimnet.data import read_label, read_rgb, read_rgbt, read_thermal_counts
from cimnet.data.io.thermal_files import thermal_size
from cimnet.errors import DataError
from tests.fakes.layouts import HEIGHT, WIDTH

tifffile = pytest.importorskip("tifffile")

CELSIUS = np.linspace(-20.0, 80.0, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
COUNTS = np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH), dtype=np.uint16)


@pytest.mark.parametrize(
    "options", [{}, {"byteorder": ">"}, {"tile": (16, 16)}, {"rowsperstrip": 5}, {"bigtiff": True}]
)
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_16_bit_tiff_of_tifffile(tmp_path: Path, compression: str | None, options: dict[str, Any]) -> None:
    path = tmp_path / "t.tiff"
    try:
        tifffile.imwrite(path, COUNTS, compression=compression, **options)
    except (KeyError, ValueError) as error:
        pytest.skip(f"tifffile cannot write it here: {error}")
    values = read_thermal_counts(path)
    assert values.dtype == np.uint16
    np.testing.assert_array_equal(values, COUNTS)
    assert thermal_size(path) == (HEIGHT, WIDTH)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits"])
@pytest.mark.parametrize("predictor", [1, 2])
def test_16_bit_tiff_of_libtiff(tmp_path: Path, compression: str, predictor: int) -> None:
    path = tmp_path / "t.tif"
    info = {317: predictor} if predictor != 1 and compression != "packbits" else {}
    Image.fromarray(COUNTS).save(path, compression=compression, tiffinfo=info)
    np.testing.assert_array_equal(read_thermal_counts(path), COUNTS)


@pytest.mark.parametrize(("order", "compression"), [("<", None), (">", None), ("<", "zlib")])
def test_float_tiff(tmp_path: Path, order: str, compression: str | None) -> None:
    path = tmp_path / "t.tiff"
    tifffile.imwrite(path, CELSIUS.astype(np.float32), byteorder=order, compression=compression)
    values = read_thermal_counts(path)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, CELSIUS, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "int16", "int32", "uint32"])
def test_compressed_big_endian_tiff_is_read_right_or_not_at_all(tmp_path: Path, dtype: str) -> None:
    """Pillow swaps the bytes of some twice."""
    path = tmp_path / "t.tiff"
    counts = (COUNTS // 2).astype(dtype)
    tifffile.imwrite(path, counts, byteorder=">", compression="zlib")
    for read in (read_thermal_counts, thermal_size, read_label):
        try:
            values = read(path)
        except DataError as error:
            message = str(error)
            assert message.startswith(f"{path}: "), message
            continue
        assert values == counts.shape if read is thermal_size else np.array_equal(values, counts)


@pytest.mark.parametrize("dtype", ["float64", "float16", "int64", "complex64"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_tiff_of_values_that_pillow_does_not_read(tmp_path: Path, dtype: str, bigtiff: bool) -> None:
    path = tmp_path / "t.tiff"
    tifffile.imwrite(path, CELSIUS.astype(dtype), bigtiff=bigtiff)
    for read in (read_thermal_counts, thermal_size):
        kind = {"f": "floats", "i": "signed integers", "c": "complex numbers"}[np.dtype(dtype).kind]
        words = rf"t\.tiff: a TIFF of a kind that is not read \({8 * np.dtype(dtype).itemsize}-bit {kind}, 1 band"
        with pytest.raises(DataError, match=words):
            read(path)


@pytest.mark.parametrize("dtype", ["int16", "int32", "uint32"])
def test_integer_tiff(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "t.tiff"
    counts = COUNTS // 2
    tifffile.imwrite(path, counts.astype(dtype))
    np.testing.assert_array_equal(read_thermal_counts(path), counts)
    if dtype != "uint32":
        tifffile.imwrite(path, counts.astype(dtype) - 100)
        values = read_thermal_counts(path)
        assert values.dtype == np.int16
        np.testing.assert_array_equal(values, counts.astype(int) - 100)


@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_colour_tiff_is_not_cut_to_8_bits_silently(tmp_path: Path, channels: int) -> None:
    path = tmp_path / "deep.tiff"
    tifffile.imwrite(
        path, np.dstack([COUNTS] * channels), photometric="rgb", extrasamples=["unassalpha"][: channels - 3]
    )
    with pytest.raises(DataError, match=r"deep\.tiff: 16-bit thermal values in a TIFF .* save one 16-bit grey channel"):
        read_thermal_counts(path)
    if channels == 4:
        with pytest.raises(DataError, match="16-bit RGBA would be cut to 8 bits"):
            read_rgbt(path)


@pytest.mark.parametrize(("bits", "packed"), [(4, bytes([0x01, 0x23])), (8, bytes([0, 1, 2, 3]))])
def test_label_tiff_of_few_bits_is_not_stretched(tmp_path: Path, bits: int, packed: bytes) -> None:
    tags = {256: 4, 257: 1, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: len(packed)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    path = tmp_path / "few.tif"
    path.write_bytes(b"II*\0" + struct.pack("<I", 12) + packed.ljust(4, b"\0") + directory)
    assert read_label(path).tolist() == [[0, 1, 2, 3]]


def test_several_pages_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pages.tiff"
    tifffile.imwrite(path, np.stack([COUNTS, COUNTS // 2]), photometric="minisblack")
    for read in (read_thermal_counts, read_rgb, read_label, read_rgbt):
        with pytest.raises(DataError, match=r"pages\.tiff: 2 pages \(images\) in one TIFF"):
            read(path)


@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_tiff_cut_off(tmp_path: Path, part: float, compression: str | None) -> None:
    path = tmp_path / "t.tiff"
    tifffile.imwrite(path, COUNTS, compression=compression)
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(DataError, match=r"t\.tiff: .*; restore or remove it"):
        read_thermal_counts(path)


def write_mpo(path: Path, first: npt.NDArray[np.uint8], **options: Any) -> None:
    second = Image.new("RGB", (16, 16), (250, 0, 0))
    Image.fromarray(first).save(path, "MPO", save_all=True, append_images=[second], **options)
    with Image.open(path) as image:
        assert image.format == "MPO"


def test_mpo(tmp_path: Path) -> None:
    path = tmp_path / "drone.jpg"
    smooth = np.tile(np.arange(0, 240, 6, dtype=np.uint8), (HEIGHT, 1))
    write_mpo(path, np.dstack([smooth] * 3), quality=95)
    values = read_thermal_counts(path)
    assert (values.dtype, values.shape, thermal_size(path)) == (np.uint8, (HEIGHT, WIDTH), (HEIGHT, WIDTH))
    assert np.abs(values.astype(int) - smooth).max() <= 4
    assert np.abs(read_rgb(path).astype(int) - smooth[..., None]).max() <= 4
    with pytest.raises(DataError, match="JPEG changes class ids"):
        read_label(path)


def test_mpo_with_a_tint_of_its_encoder(tmp_path: Path) -> None:
    """Channels of a grey JPEG differ by a few values; an MPO is a JPEG, too."""
    path = tmp_path / "drone.jpg"
    grey = np.full((HEIGHT, WIDTH), 120, np.uint8)
    write_mpo(path, np.dstack([grey, grey, grey + 6]), quality=95)
    assert np.ptp(read_rgb(path), axis=2).max() > 0
    assert np.abs(read_thermal_counts(path).astype(int) - 121).max() <= 3
