"""Files that are read all the same: undeclared padding, nodata in labels, EXIF orientations, palettes, NaN."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib import colormaps
from PIL import Image
from scipy.ndimage import rotate

from cimnet.curation.check.image_stats import constant_margin
from cimnet.data import open_dataset
from cimnet.errors import DataError
from tests.fakes.layouts import HEIGHT, WIDTH, make_folder

from .sets import by_code, check, names

tifffile = pytest.importorskip("tifffile")


def smooth(seed: int = 0, low: float = 20, high: float = 240) -> npt.NDArray[np.uint8]:
    """A thermal image (96, 128) that goes from `low` to `high`."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5), dtype=np.uint8)
    values = np.asarray(Image.fromarray(coarse).resize((128, 96), Image.Resampling.BICUBIC)).astype(np.float64)
    return np.rint(low + (high - low) * (values - values.min()) / np.ptp(values)).astype(np.uint8)


def to_float(root: Path, values: Any, pair: int = 1) -> None:
    """Replace a pair's thermal image by floats in degrees Celsius, and the others, too."""
    for number in range(4):
        path = root / "thermal" / f"{number:03d}.png"
        plain = np.array(Image.open(path)).astype(np.float32) / 8
        path.unlink()
        tifffile.imwrite(path.with_suffix(".tif"), values(plain) if number == pair else plain)
    (root / "classes.yaml").write_text("classes: [a, b, c]\nthermal_range: {kind: gain_control}\n")


def test_one_value_far_from_all_others(tmp_path: Path) -> None:
    make_folder(tmp_path, n=4)

    def pad(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        values[:, : WIDTH // 4] = -10000
        return values

    to_float(tmp_path, pad)
    found = by_code(check(tmp_path))["thermal-padding"]
    assert (found.severity, names(found)) == ("warning", ["001"])
    assert found.items[0].detail == "25% of the pixels hold -10000, far from all others: padding"
    assert "gdal_edit.py -a_nodata" in found.remedy


@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("angle", [5, 20, 45])
def test_the_corners_of_a_turned_image(angle: int, level: int) -> None:
    """Eight bits, so that the value is one that pixels may have."""
    turned = rotate(smooth(angle), angle, reshape=False, order=1, cval=level)
    assert f"hold {level}, and the image begins with a jump" in constant_margin(turned)
    declared = np.ma.MaskedArray(turned, turned == level)
    assert constant_margin(declared) == ""


@pytest.mark.parametrize("seed", range(10))
def test_a_picture_at_the_end_of_its_range_has_no_padding(seed: int) -> None:
    """A cold sky that gain control clips: constant and at the edge, but the picture goes over into it."""
    values = smooth(seed)
    assert constant_margin(values) == ""
    for share in (10, 40):
        level = int(np.percentile(values, share))
        assert constant_margin(np.maximum(values, level)) == ""
        assert constant_margin(np.minimum(values, 255 - level)) == ""
    assert constant_margin(np.full_like(values, 7)) == ""


def test_padding_inside_a_set(tmp_path: Path) -> None:
    make_folder(tmp_path, n=4)
    path = tmp_path / "thermal/002.png"
    values = smooth(low=100)[:HEIGHT, :WIDTH].copy()
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    values[rows + columns < HEIGHT // 2] = 0
    Image.fromarray(values).save(path)
    assert names(by_code(check(tmp_path))["thermal-padding"]) == ["002"]


def save_label(root: Path, values: npt.NDArray[Any], nodata: str) -> None:
    (root / "labels/001.png").unlink()
    tifffile.imwrite(root / "labels/001.tif", values, extratags=[(42113, 2, None, nodata, True)])


def test_nodata_that_is_a_class(tmp_path: Path) -> None:
    make_folder(tmp_path, n=4)
    save_label(tmp_path, np.array(Image.open(tmp_path / "labels/001.png")), "0")
    found = by_code(check(tmp_path))["nodata-label"]
    assert (found.severity, names(found)) == ("error", ["labels/001.tif"])
    assert "declares 0 as nodata, which is also the value of class 0" in found.items[0].detail


@pytest.mark.parametrize(("nodata", "dtype"), [(200, np.uint8), (-9999, np.int16)])
def test_nodata_of_a_label_is_counted_as_ignored(tmp_path: Path, nodata: int, dtype: Any) -> None:
    make_folder(tmp_path, n=4)
    values = np.array(Image.open(tmp_path / "labels/001.png")).astype(dtype)
    values[:8] = nodata
    save_label(tmp_path, values, str(nodata))
    report = check(tmp_path)
    assert "id-outside-classes" not in by_code(report)
    assert report.summary["ignore"]["pixels"] == 8 * WIDTH


def tag(path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(path) as image:
        image.load()
    image.save(path, exif=exif)


@pytest.mark.parametrize(("orientation", "told"), [(1, False), (2, True), (3, True), (4, True)])
def test_a_turned_picture_and_a_label_without_a_tag(tmp_path: Path, orientation: int, told: bool) -> None:
    make_folder(tmp_path, n=4)
    tag(tmp_path / "rgb/001.png", orientation)
    findings = by_code(check(tmp_path))
    assert ("orientations" in findings) == told
    if told:
        assert findings["orientations"].items[0].detail == f"label 1, rgb {orientation}, thermal 1"


def test_turned_alike_or_by_a_quarter(tmp_path: Path) -> None:
    """All files with the same tag fit, and a quarter turn shows in the sizes."""
    make_folder(tmp_path, n=4)
    for kind in ("rgb", "thermal", "labels"):
        tag(tmp_path / kind / "001.png", 3)
    path = tmp_path / "rgb/002.png"
    Image.open(path).transpose(Image.Transpose.ROTATE_90).save(path)
    tag(path, 6)  # shown as it was
    assert not {"orientations", "size", "label-size"} & set(by_code(check(tmp_path)))


def test_palettes_are_read_with_a_warning(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    make_folder(tmp_path, n=4)
    for path in (tmp_path / "thermal").iterdir():
        levels = np.array(Image.open(path))
        Image.fromarray(np.rint(255 * colormaps["inferno"](levels)[..., :3]).astype(np.uint8)).save(path)
    report = check(tmp_path)
    found = by_code(report)["palette-undone"]
    assert (found.severity, found.count, report.exit_code(strict=False)) == ("warning", 4, 0)
    assert "relative, not temperatures" in found.items[0].detail
    assert not list(recwarn)  # the report says it


def test_few_values_that_are_not_finite(tmp_path: Path) -> None:
    make_folder(tmp_path, n=4)

    def lose(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        values[3, :5] = np.nan
        return values

    to_float(tmp_path, lose)
    found = by_code(check(tmp_path))["few-not-finite"]
    assert (found.severity, names(found)) == ("warning", ["thermal/001.tif"])
    assert "5 of 1,280 thermal values" in found.items[0].detail


def to_units(root: Path, units: list[str], yaml: str) -> None:
    """Replace the thermal images by temperatures in TIFF that state these units, one after the other."""
    rasterio = pytest.importorskip("rasterio")
    make_folder(root, n=len(units))
    for number, unit in enumerate(units):
        path = root / "thermal" / f"{number:03d}.png"
        kelvin = 290 + np.array(Image.open(path)).astype(np.float32) / 32
        path.unlink()
        tifffile.imwrite(path.with_suffix(".tif"), kelvin if unit == "K" else kelvin - 273.15)
        with rasterio.open(path.with_suffix(".tif"), "r+") as file:
            file.units = (unit,)
    (root / "classes.yaml").write_text(f"classes: [a, b, c]\n{yaml}\n")
    (root / "train.txt").write_text("".join(f"{number:03d}\n" for number in range(len(units))))


CONVERTED = "thermal_range: {kind: kelvin, low: 280, high: 310, unit: kelvin}"


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("more", ["", "\nbands: {thermal: 1}"])
def test_thermal_files_of_several_units(tmp_path: Path, more: str) -> None:
    to_units(tmp_path, ["K", "K", "degC", "K"], f"thermal_range: [0, 310]{more}")
    found = by_code(check(tmp_path))
    assert (found["mixed-units"].severity, names(found["mixed-units"])) == ("error", ["002"])
    assert found["mixed-units"].items[0].detail == "celsius"
    assert "kind: kelvin" in found["mixed-units"].remedy
    dataset = open_dataset(tmp_path, "train")
    with pytest.raises(
        DataError, match=r"different units: kelvin \(.*000\.tif\), celsius \(.*002\.tif\).*kind: kelvin"
    ):
        dataset.check()


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_no_range_is_advised_across_units(tmp_path: Path) -> None:
    to_units(tmp_path, ["K", "degC", "K"], "")
    found = by_code(check(tmp_path))
    assert "mixed-units" in found
    assert "no-thermal-range" not in found


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(
    ("units", "yaml"),
    [
        (["K", "degC"], CONVERTED),
        (["K", "degC"], "thermal_range: {kind: gain_control}"),
        (["degC", "°C"], "thermal_range: [0, 40]"),
    ],
)
def test_units_that_do_no_harm(tmp_path: Path, units: list[str], yaml: str) -> None:
    to_units(tmp_path, units, yaml)
    assert "mixed-units" not in by_code(check(tmp_path))
    open_dataset(tmp_path, "train").check()


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_unit_that_is_not_known(tmp_path: Path) -> None:
    to_units(tmp_path, ["mK", "mK"], "thermal_range: [0, 40]")
    assert names(by_code(check(tmp_path))["unknown-unit"]) == ["thermal/000.tif", "thermal/001.tif"]
    (tmp_path / "classes.yaml").write_text(f"classes: [a, b, c]\n{CONVERTED}\n")
    assert "unreadable" in by_code(check(tmp_path))
