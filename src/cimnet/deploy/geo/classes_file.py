"""The raster of class ids: tiled GeoTIFF with colours, overviews, and names that GDAL shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import ColorInterp, Resampling
from rasterio.windows import Window

from cimnet.utils.colors import Color

NODATA = 255
_TILE = 512
_LAST_OVERVIEW = 256  # pixels: no smaller overviews than this

Ids = npt.NDArray[np.uint8]


def write_classes(
    path: Path,
    rows: Callable[[int, int], Ids],
    shape: tuple[int, int],
    place: dict[str, Any],
    classes: Sequence[str],
    colors: Sequence[Color],
    count: Callable[[int, Ids], object],
) -> None:
    """Write a GeoTIFF, 512 rows at a time.

    Args:
        rows: gives rows first..last (excluded) of the ids, (rows, width) uint8; `NODATA` where there is none.
        shape: (height, width).
        place: `crs` and `transform`, as rasterio takes them.
        count: told the first row and the ids of each part.
    """
    height, width = shape
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "nodata": NODATA, "height": height, "width": width}
    layout = {"tiled": True, "blockxsize": _TILE, "blockysize": _TILE, "compress": "deflate", "BIGTIFF": "IF_SAFER"}
    table = {index: (*color, 255) for index, color in enumerate(colors)}
    with rasterio.open(path.absolute(), "w", **profile, **layout, **place) as file:
        file.colorinterp = [ColorInterp.palette]
        file.write_colormap(1, {**table, NODATA: (0, 0, 0, 0)})
        file.set_band_description(1, "class")
        file.update_tags(classes=json.dumps(dict(enumerate(classes)), ensure_ascii=False))
        for first in range(0, height, _TILE):
            last = min(first + _TILE, height)
            ids = rows(first, last)
            count(first, ids)
            file.write(ids, 1, window=Window(0, first, width, last - first))
    factors = [2**k for k in range(1, 16) if max(shape) / 2**k >= _LAST_OVERVIEW]
    if factors:
        with rasterio.open(path.absolute(), "r+") as file:
            file.build_overviews(factors, Resampling.mode)


def category_names(classes: Sequence[str], colors: Sequence[Color]) -> str:
    """The content of NAME.tif.aux.xml, from which GDAL takes the classes' names: the GTiff format itself has
    no place for them. Category names, and a raster attribute table with the colours."""
    names = "".join(f"      <Category>{escape(name)}</Category>\n" for name in classes)
    columns = (("Value", 0, 5), ("Class", 2, 2), ("Red", 0, 6), ("Green", 0, 7), ("Blue", 0, 8))  # name, type, usage
    fields = "".join(
        f'      <FieldDefn index="{index}"><Name>{name}</Name><Type>{kind}</Type><Usage>{usage}</Usage></FieldDefn>\n'
        for index, (name, kind, usage) in enumerate(columns)
    )
    lines = []
    for index, (name, color) in enumerate(zip(classes, colors, strict=True)):
        cells = "".join(f"<F>{value}</F>" for value in (index, escape(name), *color))
        lines.append(f'      <Row index="{index}">{cells}</Row>\n')
    return (
        '<PAMDataset>\n  <PAMRasterBand band="1">\n'
        f"    <CategoryNames>\n{names}    </CategoryNames>\n"
        f'    <GDALRasterAttributeTable tableType="thematic">\n{fields}{"".join(lines)}'
        "    </GDALRasterAttributeTable>\n  </PAMRasterBand>\n</PAMDataset>\n"
    )
