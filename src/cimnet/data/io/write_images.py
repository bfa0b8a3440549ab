"""Write image files so that everything that their sources say of the values is read back."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cimnet.data.io.side_files import side_files
from cimnet.data.io.thermal_scaling import Counts
from cimnet.data.io.tiff_tags import GDAL_METADATA, GDAL_NODATA

COMPRESSION = 4
"""Of PNG: half the time of the usual 6, and 2% larger."""
_NODATA = -32769  # below all counts of 16 bits, with and without a sign


def copy_image(source: Path, target: Path) -> None:
    """Copy an image with the files beside it that say something of its values."""
    shutil.copyfile(source, target)
    for side in side_files(source):
        shutil.copyfile(side, target.with_name(target.name + side.name.removeprefix(source.name)))


def write_thermal(path: Path, counts: Counts, unit: str | None = None) -> Path:
    """Write thermal values (H, W) so that `read_thermal_counts` reads the same: type, missing pixels and unit.

    Args:
        path: the file. `.npy` and TIFF's extensions are kept where they can hold the values; others become `.png`, or
            `.tiff` for floats, values below zero, a unit, and missing pixels of more than 8 bits.
        unit: of the values, where their file said one.

    Returns:
        The file as it is called.
    """
    values: Any = np.ma.getdata(counts)
    missing = np.ma.getmaskarray(counts) if np.ma.is_masked(counts) else None
    if path.suffix.lower() == ".npy" and missing is None and unit is None:
        np.save(path, values)
        return path
    deep = values.dtype != np.uint8
    tags: dict[int, str] = {}
    if unit is not None:
        item = f'<Item name="UNITTYPE" sample="0" role="unittype">{unit}</Item>'
        tags[GDAL_METADATA] = f"<GDALMetadata>\n  {item}\n</GDALMetadata>"
    if values.dtype == np.int16 or (missing is not None and values.dtype == np.uint16):
        values = values.astype(np.int32)
    if missing is not None and deep:
        nodata: Any = np.nan if values.dtype.kind == "f" else _NODATA
        values = np.where(missing, nodata, values).astype(values.dtype)
        tags[GDAL_NODATA] = str(nodata)
    elif missing is not None:  # opacity: in 8 bits, no value may be free
        values = np.dstack([values, np.where(missing, 0, 255).astype(np.uint8)])
    if path.suffix.lower() not in (".tif", ".tiff"):
        path = path.with_suffix(".tiff" if tags or values.dtype.kind in "fi" else ".png")
    more: dict[str, Any] = {"compress_level": COMPRESSION} if path.suffix == ".png" else {"tiffinfo": tags}
    Image.fromarray(values).save(path, **more)
    return path
