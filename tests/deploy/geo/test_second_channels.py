"""Rasters whose second image has several bands: read as the files of a data set are, on any grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("rasterio")
import rasterio
from rasterio.enums import ColorInterp

from cimnet.checkpoint import ModelInfo
from cimnet.data.io.bands import Bands
from cimnet.data.io.second_modality import SecondModality
from cimnet.data.io.thermal_scaling import ThermalScaling
from cimnet.deploy.geo import predict_geotiff
from cimnet.deploy.geo.rasters import open_pair
from cimnet.errors import DataError
from cimnet.inference import Predictor
from cimnet.inference.settings import Settings
from tests.fakes.pixel import Pixel

from .conftest import CLASSES, COLORS, PLACE, arrays, content, make_predictor, moved, write

RGB, _ = arrays()
SHAPE = RGB.shape[:2]
NIR = SecondModality("nir", 2)
COUNTS = np.stack([arrays(seed=seed)[1] for seed in (1, 2)], axis=2).astype(np.uint16) * 16
SCALING = ThermalScaling("range", 0, 4096)


def _predictor(second: SecondModality = NIR, dtype: str = "uint16", bands: Bands | None = None) -> Predictor:
    torch.manual_seed(0)
    model = Pixel("plain", len(CLASSES), thermal_channels=second.channels)
    options = {"thermal_channels": second.channels}
    info = ModelInfo("pixel_plain", options, CLASSES, COLORS, SCALING, thermal_dtype=dtype, second=second)
    return Predictor(model, info, torch.device("cpu"), Settings(window=32, bands=bands))


def _seen(predictor: Predictor, rgb: Path, second: Path, shape: tuple[int, int] = SHAPE) -> tuple[Any, Any, Any]:
    """What a model gets of two rasters, (3, H, W) and (C, H, W), and which pixels get a class."""
    told: list[str] = []
    with open_pair(rgb, second, predictor.info, False, told.append, predictor.settings.bands) as pair:
        images, known = pair.read(0, 0, *shape), pair.known(0, 0, *shape)
    assert images is not None
    return (*(image.numpy() for image in predictor.tensors(*images)), known)


def _with_hole(values: np.ndarray, hole: float) -> np.ndarray:
    """Something is missing in the first band, something else in both."""
    values = values.copy()
    values[10:20, 10:30, 0] = hole
    values[40:60, 50:70] = hole
    return values


KINDS: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "16 bits": (COUNTS, {}),
    "nodata": (_with_hole(COUNTS, 65535), {"nodata": 65535}),
    "float with nodata": (_with_hole(COUNTS.astype(np.float32), -9999), {"nodata": -9999}),
    "float with NaN": (_with_hole(COUNTS.astype(np.float32), np.nan), {"nodata": np.nan}),
    "signed": (COUNTS.astype(np.int16), {}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_raster_is_read_as_the_files_of_a_data_set(kind: str, tmp_path: Path) -> None:
    values, about = KINDS[kind]
    rgb, nir = write(tmp_path / "rgb.tif", RGB), write(tmp_path / "nir.tif", values, **about)
    predictor = _predictor(dtype=values.dtype.name.replace("int16", "uint16").replace("uu", "u"))
    colours, found, known = _seen(predictor, rgb, nir)
    wanted = [image.numpy() for image in predictor.tensors(rgb, nir)]
    np.testing.assert_array_equal(colours, wanted[0])
    np.testing.assert_array_equal(found, wanted[1])
    assert found.shape == (2, *SHAPE)
    assert known.all()


def test_bands_and_scales_are_chosen_as_for_files(tmp_path: Path) -> None:
    """Bands 3 and 1 of three, with a scale and an offset; and all images in one raster."""
    stack = np.dstack([COUNTS[..., 1], np.full(SHAPE, 7, np.uint16), COUNTS[..., 0]])
    rgb, nir = write(tmp_path / "rgb.tif", RGB), write(tmp_path / "nir.tif", stack, photometric="minisblack")
    with rasterio.open(nir, "r+") as file:
        file.scales, file.offsets = (0.5,) * 3, (100.0,) * 3
    predictor = _predictor(dtype="float32", bands=Bands(thermal=(3, 1)))
    np.testing.assert_array_equal(_seen(predictor, rgb, nir)[1], predictor.tensors(rgb, nir)[1].numpy())
    one = write(tmp_path / "one.tif", np.dstack([RGB.astype(np.uint16) * 257, COUNTS]), photometric="minisblack")
    predictor = _predictor(bands=Bands((1, 2, 3), (4, 5), (0, 65535)))
    colours, found, _ = _seen(predictor, one, one)
    np.testing.assert_array_equal(colours, np.moveaxis(RGB, 2, 0) / np.float32(255))
    np.testing.assert_array_equal(found, SCALING(COUNTS).transpose(2, 0, 1))


def test_the_classes_are_those_of_the_whole_images(tmp_path: Path) -> None:
    values = _with_hole(COUNTS, 65535)
    rgb, nir = write(tmp_path / "rgb.tif", RGB), write(tmp_path / "nir.tif", values, nodata=65535)
    predictor = _predictor()
    predict_geotiff(predictor, rgb, nir, tmp_path / "out.tif")
    wanted = predictor.predict(rgb, nir)
    assert len(np.unique(wanted)) > 2
    np.testing.assert_array_equal(content(tmp_path / "out.tif"), wanted)
    predict_geotiff(predictor, rgb, nir, tmp_path / "both.tif", require_both=True)
    wanted[40:60, 50:70] = 255  # where no band has data; one is enough
    np.testing.assert_array_equal(content(tmp_path / "both.tif"), wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_on_another_grid_no_missing_value_is_mixed_into_others(kind: str, tmp_path: Path) -> None:
    """Constant bands, a quarter of a pixel off: what is not missing has exactly their value."""
    about = KINDS[kind][1]
    values = np.full(COUNTS.shape, (1024, 2048)).astype(KINDS[kind][0].dtype)
    if "nodata" in about:
        values = _with_hole(values, about["nodata"])
    rgb = write(tmp_path / "rgb.tif", RGB)
    nir = write(tmp_path / "nir.tif", values, transform=moved(30.25, 0.25), **about)
    predictor = _predictor(dtype=values.dtype.name.replace("int16", "uint16").replace("uu", "u"))
    _, found, _ = _seen(predictor, rgb, nir)
    assert np.unique(found[0]).tolist() == [0, 0.25]
    assert np.unique(found[1]).tolist() == [0, 0.5]
    assert not found[:, :, :29].any()  # beside the raster
    hole = found[:, 12:19, 42:58]  # in the first band alone
    assert (hole[0] == 0).all() == ("nodata" in about)
    assert (hole[1] == 0.5).all()


def test_one_band_of_several_on_another_grid(tmp_path: Path) -> None:
    """A thermal band is laid over the RGB raster no worse if others stand beside it in the file."""
    rgb = write(tmp_path / "rgb.tif", RGB)
    values = np.dstack([np.full(SHAPE, 100, np.uint16), np.full(SHAPE, 1024, np.uint16)])
    predictor = _predictor(SecondModality(), bands=Bands(thermal=2))
    for name, nodata in (("plain", None), ("nodata", 65535)):
        if nodata:
            values[20:40, 20:40, 1] = nodata
        path = write(tmp_path / f"{name}.tif", values, transform=moved(30.25, 0.25), nodata=nodata)
        predict_geotiff(predictor, rgb, path, tmp_path / f"{name}_out.tif", require_both=True)
        found = content(tmp_path / f"{name}_out.tif")
        assert (found[:, :29] == 255).all(), "beside the raster there is no thermal image"
        assert (found[5:15, 40:] != 255).all()
        assert np.unique(_seen(predictor, rgb, path)[1]).tolist() == [0, 0.25]


def _tagged(path: Path) -> Path:
    values = np.dstack([COUNTS, COUNTS])
    with rasterio.open(write(path, values, photometric="minisblack"), "r+") as file:
        file.colorinterp = (ColorInterp.gray, ColorInterp.undefined, ColorInterp.undefined, ColorInterp.alpha)
    return path


def test_a_band_that_is_tagged_as_opacity(tmp_path: Path) -> None:
    """Programs tag the fourth of four bands so: it is opacity unless it is chosen, and is not resampled then."""
    rgb, nir = write(tmp_path / "rgb.tif", RGB), _tagged(tmp_path / "nir.tif")
    with pytest.raises(DataError, match=r"4 bands, of which band 4 is tagged as opacity, where nir \(4 channels\) is"):
        _seen(_predictor(SecondModality("nir", 4)), rgb, nir)
    predictor = _predictor(SecondModality("nir", 4), bands=Bands(thermal=(1, 2, 3, 4)))
    np.testing.assert_array_equal(_seen(predictor, rgb, nir)[1], SCALING(np.dstack([COUNTS] * 2)).transpose(2, 0, 1))
    other = write(tmp_path / "rgb_off.tif", RGB, transform=moved(0.5, 0.5))
    with pytest.raises(DataError, match=r"band 4 is tagged as opacity and cannot be resampled .* -colorinterp_4"):
        _seen(predictor, other, nir)
    with rasterio.open(nir, "r+") as file:
        opacity = np.full(SHAPE, 65535, np.uint16)
        opacity[:, :20] = 0
        file.write(opacity, 4)
    predictor = _predictor(SecondModality("nir", 3))
    for place in (rgb, other):
        found = _seen(predictor, place, nir)[1]
        assert not found[:, :, :19].any()
        assert (found[:, :-1, 21:-1] > 0).all()


@pytest.mark.parametrize(
    ("bands", "words"),
    [
        (None, r"nir\.tif: 3 bands, where nir \(2 channels\) is expected; choose the bands"),
        (Bands(thermal=2), r"the bands 2 are chosen, where nir \(2 channels\) is expected; give 2 numbers"),
        (Bands(thermal=(1, 2, 3)), r"the bands 1, 2, 3 are chosen, where nir \(2 channels\) is expected"),
        (Bands(thermal=(1, 4)), r"nir\.tif: 3 bands, and band 4 is asked for"),
        (Bands(thermal=(1, 3)), r"its bands 1, 3 differ in type, scale, offset, unit or nodata"),
    ],
)
def test_bands_that_do_not_fit(bands: Bands | None, words: str, tmp_path: Path) -> None:
    rgb = write(tmp_path / "rgb.tif", RGB)
    nir = write(tmp_path / "nir.tif", np.dstack([COUNTS, COUNTS[..., :1]]), photometric="minisblack")
    with rasterio.open(nir, "r+") as file:
        file.scales = (1.0, 1.0, 0.1)
    with pytest.raises(DataError, match=words):
        _seen(_predictor(bands=bands), rgb, nir)


def test_one_raster_for_both_needs_its_bands(tmp_path: Path) -> None:
    path = write(tmp_path / "one.tif", np.dstack([RGB, RGB[..., :2]]), photometric="minisblack")
    with pytest.raises(DataError, match=r"one\.tif: given for both images, where nir \(2 channels\) is expected"):
        _seen(_predictor(dtype="uint8"), path, path)


def test_a_thermal_model_takes_one_band(tmp_path: Path) -> None:
    rgb, nir = write(tmp_path / "rgb.tif", RGB), write(tmp_path / "nir.tif", COUNTS, transform=PLACE)
    predictor = make_predictor(thermal_dtype="uint16")
    with pytest.raises(DataError, match=r"2 bands, expected one thermal band and at most opacity"):
        predict_geotiff(predictor, rgb, nir, tmp_path / "out.tif")
    predictor = Predictor(predictor.model, predictor.info, predictor.device, Settings(bands=Bands(thermal=(1, 2))))
    with pytest.raises(DataError, match=r"the bands 1, 2 are chosen, where thermal \(1 channel\) is expected"):
        predict_geotiff(predictor, rgb, nir, tmp_path / "out.tif")
