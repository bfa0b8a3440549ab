"""Chosen bands and declared units: copies hold what the source's classes.yaml chose, as the target's reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cimnet.curation.convert import convert
from cimnet.data import open_dataset
from cimnet.data.io.thermal_files import thermal_unit
from tests.fakes import layouts as fakes
from tests.fakes.bands import make_stack, write_bands
from tests.fakes.layouts import CLASSES, HEIGHT, WIDTH, save_array

from .test_convert import assert_same

pytest.importorskip("rasterio")
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def describe(root: Path, **content: Any) -> Path:
    (root / "classes.yaml").write_text(yaml.safe_dump({"classes": list(CLASSES)} | content))
    return root


def set_unit(path: Path, unit: str) -> None:
    import rasterio

    with rasterio.open(path, "r+") as file:
        file.units = [unit] * file.count


@pytest.mark.parametrize("to", ["folder", "coco_panoptic"])
def test_exchanged_colours_are_written_in_their_order(tmp_path: Path, to: str) -> None:
    source = describe(fakes.make_folder(tmp_path / "source"), bands={"rgb": [3, 2, 1]})
    before = open_dataset(source, "train")
    there = convert(source, tmp_path / "there", to)
    assert_same(before, open_dataset(there, "train"))
    assert (there / "thermal" / "000.png").read_bytes() == (source / "thermal" / "000.png").read_bytes()


def test_exchanged_colours_of_files_of_four_channels(tmp_path: Path) -> None:
    source = fakes.make_mfnet(tmp_path / "source")
    (source / "classes.yaml").write_text("bands: {rgb: [3, 2, 1]}\n")
    there = convert(source, tmp_path / "there", "mfnet")
    assert_same(open_dataset(source, "train"), open_dataset(there, "train"))


def test_a_band_of_the_thermal_files_is_written_alone(tmp_path: Path) -> None:
    source = describe(fakes.make_folder(tmp_path / "source"), bands={"thermal": 2}, thermal_range=[-900, 900])
    for path in sorted((source / "thermal").iterdir()):
        path.unlink()
        values = np.random.default_rng(int(path.stem)).normal(0, 300, (3, HEIGHT, WIDTH))
        tiff = write_bands(path.with_suffix(".tif"), values.astype(np.float32))
        set_unit(tiff, "degC")
    before = open_dataset(source, "train")
    there = convert(source, tmp_path / "there", "folder")
    assert_same(before, open_dataset(there, "train"))
    assert thermal_unit(there / "thermal" / "000.tiff") == "celsius"
    assert (there / "rgb" / "000.png").read_bytes() == (source / "rgb" / "000.png").read_bytes()


def test_files_of_both_images_keep_the_unit_of_their_thermal_band(tmp_path: Path) -> None:
    source = make_stack(tmp_path / "source", n=2)
    for path in (source / "img").iterdir():
        set_unit(path, "cK")
    before = open_dataset(source, "all")
    there = convert(source, tmp_path / "there", "folder")
    assert_same(before, open_dataset(there, "all"))
    assert thermal_unit(there / "thermal" / "IMG_0000.tiff") == "centikelvin"


def test_files_without_a_unit_are_converted_to_that_of_another_range(tmp_path: Path) -> None:
    """The target declares the unit of its range, so files in the unit that the source declares cannot be copied."""
    celsius = {"kind": "kelvin", "low": 280, "high": 310, "unit": "decicelsius"}
    source = describe(fakes.make_folder(tmp_path / "source"), thermal_range=celsius)
    before = open_dataset(source, "train")
    other = {"kind": "kelvin", "low": 273, "high": 303, "unit": "decikelvin"}
    there = convert(source, tmp_path / "there", "folder", thermal_range=other)
    after = open_dataset(there, "train")
    np.testing.assert_allclose(after.arrays(0).thermal, before.arrays(0).thermal + 2731.5, atol=1e-3)
    assert_same(open_dataset(source, "train", thermal_range=other), after)


def test_what_else_the_source_declares_survives(tmp_path: Path) -> None:
    """Values of labels, their ignored value, the border and free text."""
    source = describe(
        fakes.make_folder(tmp_path / "source"),
        label_table={0: CLASSES[1], 1: "ignore", 2: CLASSES[2], 7: CLASSES[0]},
        ignore_index=2,
        border=[1, 0, 2, 0],
        thermal_range={"kind": "gain_control"},
        licence="CC BY 4.0",
        second={"name": "thermal"},
    )
    save_array(source / "labels" / "000.png", np.tile(np.array([0, 1, 2, 7], np.uint8), (HEIGHT, WIDTH // 4)))
    before = open_dataset(source, "train")
    after = open_dataset(convert(source, tmp_path / "there", "folder"), "train")
    assert_same(before, after)
    assert (after.scaling, after.file.about, after.second) == (before.scaling, before.file.about, before.second)
