"""Written thermal files are read back as they were: type, values, missing pixels, unit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cimnet.data.io.thermal_files import Wanted, read_thermal_counts, thermal_unit
from cimnet.data.io.units import UNITS
from cimnet.data.io.write_images import copy_image, write_thermal

VALUES = {
    "uint8": np.arange(256, dtype=np.uint8).reshape(16, 16),  # no value is free
    "uint16": np.arange(65536, dtype=np.uint16).reshape(256, 256),
    "int16": np.arange(-32768, 32768).astype(np.int16).reshape(256, 256),
    "float32": np.linspace(-40, 300, 256, dtype=np.float32).reshape(16, 16),
}


@pytest.mark.parametrize("dtype", VALUES)
@pytest.mark.parametrize("holed", [False, True])
@pytest.mark.parametrize("unit", [None, "kelvin"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".npy"])
def test_there_and_back(tmp_path: Path, dtype: str, holed: bool, unit: str | None, suffix: str) -> None:
    values: Any = VALUES[dtype]
    hole = np.zeros(values.shape, bool)
    hole[2:5, 3:7] = holed
    path = write_thermal(tmp_path / f"a.b{suffix}", np.ma.MaskedArray(values, hole) if holed else values, unit)
    assert path.stem == "a.b"
    assert [path] == list(tmp_path.iterdir())
    back: Any = read_thermal_counts(path)
    assert back.dtype == values.dtype
    np.testing.assert_array_equal(np.ma.getmaskarray(back), hole)
    np.testing.assert_array_equal(np.ma.getdata(back)[~hole], values[~hole])
    assert thermal_unit(path) == unit


@pytest.mark.parametrize("unit", UNITS)
def test_every_unit_is_read_back(tmp_path: Path, unit: str) -> None:
    path = write_thermal(tmp_path / "a.png", VALUES["uint16"], unit)
    assert thermal_unit(path) == unit
    assert thermal_unit(path, Wanted("celsius")) == "celsius"


def test_files_beside_an_image_are_copied_with_it(tmp_path: Path) -> None:
    Image.fromarray(VALUES["uint8"]).save(tmp_path / "a.png")
    band = '<PAMRasterBand band="1"><NoDataValue>7</NoDataValue><UnitType>K</UnitType></PAMRasterBand>'
    (tmp_path / "a.png.aux.xml").write_text(f"<PAMDataset>{band}</PAMDataset>")
    Image.fromarray(np.where(VALUES["uint8"] < 4, 0, 255).astype(np.uint8)).save(tmp_path / "a.png.msk", "TIFF")
    copy_image(tmp_path / "a.png", tmp_path / "b.png")
    back: Any = read_thermal_counts(tmp_path / "b.png")
    assert np.flatnonzero(np.ma.getmaskarray(back)).tolist() == [0, 1, 2, 3, 7]
    assert thermal_unit(tmp_path / "b.png") == "kelvin"
