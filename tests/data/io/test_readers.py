"""Readers: every accepted form of file gives the values that were written; every other one a one-line error."""

from __future__ import annotations

import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from cimnet.data import read_label, read_rgb, read_rgbt
from cimnet.data.io import open_image
from cimnet.data.io.open_image import image_size
from cimnet.data.io.thermal_files import read_thermal_counts
from cimnet.data.io.thermal_scaling import ThermalScaling
from cimnet.errors import DataError

RAMP16 = (np.arange(12, dtype=np.uint16) * 5000).reshape(3, 4)
RAMP8 = (np.arange(12, dtype=np.uint8) * 20).reshape(3, 4)


def read_thermal(path: Path, bounds: tuple[float, float] | None = None) -> npt.NDArray[np.float32]:
    scaling = ThermalScaling() if bounds is None else ThermalScaling("range", *bounds)
    return scaling(read_thermal_counts(path), path)


def test_rgb_channels_are_red_green_blue(tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    Image.new("RGB", (4, 3), (250, 20, 10)).save(path)
    values = read_rgb(path)
    assert values.shape == (3, 4, 3)
    assert values.dtype == np.uint8
    assert values[0, 0].tolist() == [250, 20, 10]


@pytest.mark.parametrize("ext", ["png", "tif", "bmp"])
def test_thermal_8_bit_by_its_full_range(tmp_path: Path, ext: str) -> None:
    path = tmp_path / f"t.{ext}"
    Image.fromarray(RAMP8).save(path)
    np.testing.assert_allclose(read_thermal(path), RAMP8 / 255.0, atol=1e-6)


@pytest.mark.parametrize("ext", ["png", "tif"])
def test_thermal_16_bit_keeps_every_count(tmp_path: Path, ext: str) -> None:
    path = tmp_path / f"t.{ext}"
    Image.fromarray(RAMP16).save(path)
    assert read_thermal_counts(path).dtype == np.uint16
    np.testing.assert_array_equal(read_thermal_counts(path), RAMP16)
    np.testing.assert_allclose(read_thermal(path), RAMP16 / 65535.0, atol=1e-6)
    np.testing.assert_allclose(
        read_thermal(path, (10000, 20000)), np.clip((RAMP16 - 10000.0) / 10000.0, 0, 1), atol=1e-6
    )


@pytest.mark.parametrize(("order", "compression"), [("<", None), (">", None), ("<", "zlib")])
def test_tiff_of_cameras_in_both_byte_orders(tmp_path: Path, order: str, compression: str | None) -> None:
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "t.tiff"
    tifffile.imwrite(path, RAMP16, byteorder=order, compression=compression)
    np.testing.assert_array_equal(read_thermal_counts(path), RAMP16)


def test_32_bit_integer_tiff_within_16_bits(tmp_path: Path) -> None:
    path = tmp_path / "t.tif"
    Image.fromarray(RAMP16.astype(np.int32)).save(path)
    np.testing.assert_array_equal(read_thermal_counts(path), RAMP16)
    Image.fromarray(RAMP16.astype(np.int32) - 10).save(path)
    with pytest.raises(DataError, match="do not fit 16 bits"):
        read_thermal_counts(path)


def test_float_tiff_needs_a_range(tmp_path: Path) -> None:
    path = tmp_path / "kelvin.tif"
    Image.fromarray(np.full((3, 4), 300.0, dtype=np.float32)).save(path)
    assert read_thermal(path, (290, 310))[0, 0] == pytest.approx(0.5)
    with pytest.raises(DataError, match="thermal_range"):
        read_thermal(path)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_grey_thermal_saved_in_other_modes(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "t.png"
    Image.fromarray(RAMP8).convert(mode).save(path)
    np.testing.assert_array_equal(read_thermal_counts(path), RAMP8)


def test_grey_jpeg_with_three_channels(tmp_path: Path) -> None:
    path = tmp_path / "t.jpg"
    smooth = np.tile(np.arange(0, 240, 5, dtype=np.uint8), (16, 1))
    Image.fromarray(np.dstack([smooth] * 3)).save(path, quality=95)
    assert np.abs(read_thermal_counts(path).astype(int) - smooth).max() <= 4


@pytest.mark.parametrize("ext", ["png", "jpg"])
def test_burnt_in_palette_is_explained(tmp_path: Path, ext: str) -> None:
    path = tmp_path / f"iron.{ext}"
    Image.fromarray(np.dstack([RAMP8, RAMP8 // 2, 255 - RAMP8])).resize((32, 32)).save(path)
    with pytest.raises(DataError, match="palette was burnt in") as caught:
        read_thermal(path)
    assert str(path) in str(caught.value)


def test_16_bit_colour_png_is_not_cut_to_8_bits_silently(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    write_png(path, bit_depth=16, color_type=2, rows=[bytes([1, 2] * 3 * 4)] * 3, width=4)
    with pytest.raises(DataError, match="16-bit thermal values"):
        read_thermal(path)


def test_label_modes_give_indices_not_colours(tmp_path: Path) -> None:
    ids = np.array([[0, 1, 2], [3, 254, 255]], dtype=np.uint8)
    palette = Image.fromarray(ids).convert("P")
    palette.putpalette([7, 9, 200] * 256)
    for name, image in {"l": Image.fromarray(ids), "p": palette, "i16": Image.fromarray(ids.astype(np.uint16))}.items():
        image.save(tmp_path / f"{name}.png")
        np.testing.assert_array_equal(read_label(tmp_path / f"{name}.png"), ids)


@pytest.mark.parametrize(("bits", "packed"), [(2, bytes([0b00011011])), (4, bytes([0x01, 0x23]))])
def test_grey_labels_of_few_bits_are_not_stretched(tmp_path: Path, bits: int, packed: bytes) -> None:
    path = tmp_path / "few.png"
    write_png(path, bit_depth=bits, color_type=0, rows=[packed], width=4)
    assert read_label(path).tolist() == [[0, 1, 2, 3]]


def test_label_with_few_palette_colours(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [1, 0]], dtype=np.uint8)).convert("P")
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.save(tmp_path / "p.png", bits=1)
    assert read_label(tmp_path / "p.png").tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("mode", "ext", "words"),
    [("RGB", "png", "label_format: colors"), ("1", "png", "1-bit"), ("L", "jpg", "JPEG changes class ids")],
)
def test_label_forms_that_cannot_be_ids(tmp_path: Path, mode: str, ext: str, words: str) -> None:
    path = tmp_path / f"label.{ext}"
    Image.new(mode, (4, 3)).save(path)
    with pytest.raises(DataError, match=words) as caught:
        read_label(path)
    assert str(path) in str(caught.value)


def test_fourth_channel_is_thermal(tmp_path: Path) -> None:
    path = tmp_path / "00001D.png"
    values = np.random.default_rng(0).integers(0, 256, (3, 4, 4), dtype=np.uint8)
    Image.fromarray(values).save(path)
    rgb, thermal = read_rgbt(path)
    np.testing.assert_array_equal(rgb, values[..., :3])
    np.testing.assert_array_equal(thermal, values[..., 3])
    Image.fromarray(values[..., :3].copy()).save(path)
    with pytest.raises(DataError, match="expected RGBA"):
        read_rgbt(path)


def test_exif_orientation_turns_image_and_size(tmp_path: Path) -> None:
    path = tmp_path / "phone.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 16), (10, 200, 30)).save(path, exif=exif)
    assert image_size(path) == (40, 16)
    assert read_rgb(path).shape == (40, 16, 3)


def test_tiff_with_an_orientation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "turned.tif"
    Image.fromarray(RAMP16).save(path, tiffinfo={0x0112: 6})
    with pytest.raises(DataError, match="save it upright"):
        image_size(path)


def truncate(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:4000])


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (truncate, "cannot be read"),
    "text": (lambda path: path.write_text("not an image"), "not a PNG, JPEG, TIFF or BMP image"),
    "empty": (lambda path: path.write_bytes(b""), "empty"),
    "missing": (lambda path: None, "no such file"),
    "folder": (lambda path: path.mkdir(), "cannot be read"),
}


@pytest.mark.parametrize("reader", [read_rgb, read_thermal, read_label, read_rgbt])
@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_files(tmp_path: Path, case: str, reader: Callable[[Path], object]) -> None:
    path = tmp_path / "x.png"
    damage, words = DAMAGE[case]
    damage(path)
    with pytest.raises(DataError) as caught:
        reader(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    if case != "truncated" or reader in (read_rgb, read_thermal):
        assert words in message


def test_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.png"
    Image.new("L", (100, 100)).save(path)
    monkeypatch.setattr(open_image, "MAX_PIXELS", 9_999)
    with pytest.raises(DataError, match="more than 9,999 pixels"):
        image_size(path)


def test_a_lower_limit_of_pillow_is_the_one_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.png"
    Image.new("L", (100, 100)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4_000)  # of which it opens twice as many
    with pytest.raises(open_image.ImageTooLarge, match="more than 8,000 pixels"):
        image_size(path)


def test_the_error_of_a_worker_process_says_the_same(tmp_path: Path) -> None:
    error = open_image.too_large(tmp_path / "x.png")
    copy = pickle.loads(pickle.dumps(error))  # as it comes from another process
    assert (type(copy), str(copy)) == (open_image.ImageTooLarge, str(error))


def test_image_bomb_is_refused_from_its_header(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    write_png(path, bit_depth=8, color_type=0, rows=[b""], width=60_000, height=60_000)
    with pytest.raises(DataError, match="cut the image into tiles"):
        read_thermal(path)


def write_png(
    path: Path, bit_depth: int, color_type: int, rows: list[bytes], width: int, height: int | None = None
) -> None:
    """A PNG of a form that Pillow does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height or len(rows), bit_depth, color_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
