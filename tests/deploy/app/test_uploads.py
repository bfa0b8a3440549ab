"""Files from strangers."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cimnet.data.io.thermal_scaling import ThermalScaling
from cimnet.deploy.app.uploads import Limits, read_upload_rgb, read_upload_thermal
from cimnet.errors import ConfigError, DataError
from cimnet.inference import Predictor, load
from tests.conftest import Trained


@pytest.fixture
def predictor(trained: Trained) -> Predictor:
    return load(trained.best, "cpu")


def bomb(path: Path, side: int) -> Path:
    """A PNG of side² black pixels, a thousandth of that in bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer, file = zlib.compressobj(9), io.BytesIO()
    for _ in range(side):
        file.write(packer.compress(bytes(side * 3 + 1)))
    file.write(packer.flush())
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", file.getvalue()) + chunk(b"IEND", b"")
    )
    return path


def test_colours_are_read_as_they_are(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_upload_rgb(tmp_path / "a.png", Limits()), pixels)


def test_a_file_is_judged_by_what_it_holds_not_by_its_name(tmp_path: Path) -> None:
    Image.new("RGB", (40, 40), (9, 8, 7)).save(tmp_path / "picture.txt", "PNG")
    assert read_upload_rgb(tmp_path / "picture.txt", Limits())[0, 0].tolist() == [9, 8, 7]
    (tmp_path / "text.png").write_text("not a picture\n" * 10)
    with pytest.raises(DataError, match=r"^text.png: not a PNG, JPEG, TIFF or BMP image"):
        read_upload_rgb(tmp_path / "text.png", Limits())
    Image.new("RGB", (40, 40)).save(tmp_path / "moving.png", "GIF")
    with pytest.raises(DataError, match=r"^moving.png: a GIF image, which is not read; convert it to PNG"):
        read_upload_rgb(tmp_path / "moving.png", Limits())


def test_an_array_of_numpy_is_no_image(tmp_path: Path, predictor: Predictor) -> None:
    np.save(tmp_path / "t.npy", np.zeros((40, 40), np.float32))
    with pytest.raises(DataError, match=r"^t.npy: a .npy array; end its name in .npy"):
        read_upload_thermal(tmp_path / "t.npy", Limits(), predictor)


def test_a_small_file_of_many_pixels_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bomb(tmp_path / "bomb.png", 3000)
    assert path.stat().st_size < 100_000
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("decoded"))
    with pytest.raises(DataError, match=r"^bomb.png: 3000×3000 are 9.0 megapixels; images up to 4 megapixels"):
        read_upload_rgb(path, Limits())


def test_length_and_least_side(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "long.png")
    with pytest.raises(DataError, match=r"^long.png: 0.1 MB; files up to 0.05 MB are accepted"):
        read_upload_rgb(tmp_path / "long.png", Limits(megabytes=0.05))
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    with pytest.raises(DataError, match=r"^dot.png: 1×1 pixels; at least 32"):
        read_upload_rgb(tmp_path / "dot.png", Limits())


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_stay_sixteen_bits(tmp_path: Path, predictor: Predictor, suffix: str) -> None:
    counts = (20_000 + np.arange(40 * 50, dtype=np.uint16)).reshape(40, 50)
    Image.fromarray(counts).save(tmp_path / f"t{suffix}")
    deep = Predictor(
        predictor.model,
        replace(predictor.info, scaling=ThermalScaling("range", 20_000, 22_000), thermal_dtype="uint16"),
        predictor.device,
    )
    found = read_upload_thermal(tmp_path / f"t{suffix}", Limits(), deep)
    assert len(np.unique(found)) == 2000
    np.testing.assert_allclose(found, np.arange(2000).reshape(40, 50) / 2000, atol=1e-6)
    shallow = Predictor(predictor.model, replace(predictor.info, thermal_dtype="uint8"), predictor.device)
    with pytest.raises(DataError, match=rf"^t{suffix}: thermal values of type uint16 where uint8 is expected"):
        read_upload_thermal(tmp_path / f"t{suffix}", Limits(), shallow)


def test_values_that_are_no_numbers(tmp_path: Path, predictor: Predictor) -> None:
    values = np.full((40, 40), np.nan, np.float32)
    Image.fromarray(values).save(tmp_path / "nan.tif")
    kelvin = replace(predictor.info, scaling=ThermalScaling("kelvin", 270, 320, "kelvin"), thermal_dtype="float32")
    with pytest.raises(DataError, match=r"^nan.tif: [\d,]+ of [\d,]+ thermal values are not finite"):
        read_upload_thermal(tmp_path / "nan.tif", Limits(), Predictor(predictor.model, kelvin, predictor.device))


def test_a_picture_cut_short(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:4000])
    with pytest.raises(DataError, match=r"^cut.png: cannot be read"):
        read_upload_rgb(tmp_path / "cut.png", Limits())


@pytest.mark.parametrize("wrong", [{"megabytes": 0}, {"megabytes": float("nan")}, {"pixels": 100}, {"queue": 0}])
def test_limits_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=rf"{next(iter(wrong))} is .*, expected"):
        Limits(**wrong)  # type: ignore[arg-type]
