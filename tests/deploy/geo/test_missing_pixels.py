"""Rasters that say in two ways which pixels are missing: nodata, a mask, opacity, NaN. All of them count."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rasterio")
import rasterio
from rasterio.enums import ColorInterp

from cimnet.data.io.bands import Bands
from cimnet.data.io.notices import keep_notices
from cimnet.data.io.thermal_files import Wanted, read_thermal_counts
from cimnet.data.io.thermal_scaling import ThermalScaling
from cimnet.deploy.geo.rasters import open_pair
from cimnet.errors import DataError

from .conftest import PLACE, Affine, arrays, make_predictor, moved, write

RGB, _ = arrays()
SHAPE = RGB.shape[:2]
VALUE, NODATA, GARBAGE = 100, 200, 250
HOLES = {
    "nodata": np.s_[10:20, 10:22],
    "mask": np.s_[16:30, 16:30],  # overlaps the one before
    "opacity": np.s_[40:55, 20:40],
    "NaN": np.s_[60:70, 60:80],
}
PAIRS = [*((kind,) for kind in HOLES), *combinations(HOLES, 2)]


def missing(kinds: tuple[str, ...], shrunk: int = 0) -> np.ndarray:
    """The pixels (H, W) in the holes of these kinds, less so many at the rims of each."""
    found = np.zeros(SHAPE, dtype=np.bool_)
    for kind in kinds:
        rows, columns = HOLES[kind]
        found[rows.start + shrunk : rows.stop - shrunk, columns.start + shrunk : columns.stop - shrunk] = True
    return found


def write_holes(path: Path, kinds: tuple[str, ...], bands: int = 1, place: Affine = PLACE) -> Path:
    """A raster of one value, in which pixels are missing in these ways; what lies under them would be seen."""
    values = np.full((*SHAPE, bands), VALUE, dtype=np.float32 if "NaN" in kinds else np.uint8)
    for kind in kinds:
        values[HOLES[kind]] = {"nodata": NODATA, "NaN": np.nan}.get(kind, GARBAGE)
    if "opacity" in kinds:
        opacity = np.where(missing(("opacity",)), 0, 255).astype(values.dtype)
        values = np.dstack([values, opacity])
    if "nodata" in kinds:
        values[..., :bands][missing(("nodata",))] = NODATA
    write(path, values, nodata=NODATA if "nodata" in kinds else None, transform=place, photometric="minisblack")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        colours = [ColorInterp.gray] if bands == 1 else [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
        file.colorinterp = [*colours, *([ColorInterp.alpha] if "opacity" in kinds else [])]
        if "mask" in kinds:
            file.write_mask(~missing(("mask",)))
    return path


def seen(rgb: Path, thermal: Path, bands: Bands | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Thermal values (H, W), 0 where there are none, and which pixels both rasters show."""
    predictor = make_predictor(thermal_dtype=None, scaling=ThermalScaling("range", 0, 255))
    with open_pair(rgb, thermal, predictor.info, True, lambda text: None, bands) as pair:
        images, known = pair.read(0, 0, *SHAPE), pair.known(0, 0, *SHAPE)
    assert images is not None
    return np.rint(images[1] * 255), known


@pytest.mark.parametrize("kinds", PAIRS, ids="+".join)
def test_a_thermal_raster_on_the_same_grid(kinds: tuple[str, ...], tmp_path: Path) -> None:
    """As the reader of files does it, which fills few values that are not finite."""
    thermal = write_holes(tmp_path / "t.tif", kinds)
    heat, known = seen(write(tmp_path / "rgb.tif", RGB), thermal)
    np.testing.assert_array_equal(known, ~missing(kinds))
    np.testing.assert_array_equal(heat, np.where(missing(kinds), 0, VALUE))
    ways = [None, *([Wanted(bands=Bands(thermal=1))] if "opacity" not in kinds else [])]  # bands chosen: no opacity
    if "NaN" in kinds and "opacity" in kinds:
        return  # a file of two bands of floats is read by bands only
    for wanted in ways:
        with keep_notices():
            counts = read_thermal_counts(thermal, wanted)
        told = np.ma.getmaskarray(counts)
        said = missing(tuple(kind for kind in kinds if kind != "NaN"))
        assert (told == said)[~missing(("NaN",))].all()
        assert (np.asarray(counts)[~told] == VALUE).all()


@pytest.mark.parametrize("kinds", PAIRS, ids="+".join)
def test_a_thermal_raster_on_another_grid(kinds: tuple[str, ...], tmp_path: Path) -> None:
    """No value from under a hole is mixed into others; a pixel of the rim may go either way."""
    thermal = write_holes(tmp_path / "t.tif", kinds, place=moved(0.25, 0.25))
    rgb = write(tmp_path / "rgb.tif", RGB)
    if kinds == ("mask", "opacity"):
        with pytest.raises(DataError, match=r"t\.tif: it has a mask and a band of opacity.* gdal_translate"):
            seen(rgb, thermal)
        return
    heat, known = seen(rgb, thermal)
    assert set(np.unique(heat[known])) == {VALUE}
    assert not heat[~known].any()
    assert not known[missing(kinds, shrunk=1)].any()
    assert known[2:-2, 2:-2][~missing(kinds, shrunk=-2)[2:-2, 2:-2]].all()


@pytest.mark.parametrize("kinds", PAIRS, ids="+".join)
def test_an_rgb_raster(kinds: tuple[str, ...], tmp_path: Path) -> None:
    rgb = write_holes(tmp_path / "rgb.tif", kinds, bands=3)
    _, known = seen(rgb, write(tmp_path / "t.tif", RGB[..., 0]), Bands(rgb_range=(0, 255)))
    np.testing.assert_array_equal(known, ~missing(kinds))


@pytest.mark.parametrize("place", [PLACE, moved(0.25, 0.25)], ids=["same grid", "other grid"])
def test_a_nodata_value_that_a_tag_rounds(place: Affine, tmp_path: Path) -> None:
    """The least float, as some programs write it."""
    values = np.full(SHAPE, VALUE, dtype=np.float32)
    values[HOLES["nodata"]] = np.finfo(np.float32).min
    thermal = write(tmp_path / "t.tif", values, nodata=-3.40282306074e38, transform=place)
    heat, known = seen(write(tmp_path / "rgb.tif", RGB), thermal)
    assert not known[missing(("nodata",), shrunk=1)].any()
    assert set(np.unique(heat[known])) == {VALUE}


def test_bands_that_are_tagged_as_opacity_and_chosen(tmp_path: Path) -> None:
    """They hold an image, whatever their tag says: no value of theirs makes pixels missing."""
    values = np.dstack([RGB, RGB[..., :1]])
    values[:20, :20] = 0
    rgb = write(tmp_path / "rgb.tif", values, photometric="minisblack")
    with rasterio.open(rgb, "r+") as file:
        file.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    _, known = seen(rgb, write(tmp_path / "t.tif", RGB[..., 0]), Bands((4, 1, 2)))
    assert known.all()
