"""Regions of one class as polygons in a GeoPackage."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.features import shapes

from cimnet.deploy.geo.areas import Ground, Ring
from cimnet.deploy.geo.classes_file import NODATA
from cimnet.errors import ConfigError
from cimnet.utils.extras import require

LAYER = "classes"
Region = tuple[int, list[Ring], float]
"""Class id, rings, square metres."""
_BATCH = 5000
_POLYGON = 3  # of well-known binary


def require_geopackage(path: Path) -> None:
    """Refuse a GeoPackage that could not be written later.

    Raises:
        ConfigError: another ending than .gpkg, no pyogrio, or a path that pyogrio would take for another.
    """
    if path.suffix.lower() != ".gpkg":
        raise ConfigError(f"polygons {path}: written as GeoPackage; give a name that ends in .gpkg")
    require("pyogrio", "geo", f"polygons {path}")  # before hours of work: is it there, and does it load
    from pyogrio.util import vsi_path

    if vsi_path(str(path.absolute())) != str(path.absolute()):
        raise ConfigError(f"polygons {str(path)!r}: GDAL takes no path with line breaks, tabs or '!'; choose another")


def try_geopackage(path: Path) -> None:
    """Write an empty one and remove it: a disk may have no room, or not the locks that SQLite needs."""
    try:
        _append(path, [], (), "EPSG:4326", append=False)
    finally:
        path.unlink(missing_ok=True)


def write_polygons(path: Path, raster: Path, classes: Sequence[str], ground: Ground | None, min_area: float) -> int:
    """Polygons of all regions of at least `min_area` square metres, neighbours by edges, with the fields `id`, `class`
    and `area_m2` (empty without `ground`), in the layer "classes".

    Args:
        path: of a GeoPackage to come; an empty file of that name may be there.
        raster: of class ids; read line by line, but GDAL holds all polygons in memory.

    Returns:
        Number of polygons.
    """
    path.unlink(missing_ok=True)
    written = 0
    with rasterio.open(raster.absolute()) as file:
        crs = file.crs.to_wkt() if file.crs else None
        found = _regions(file, ground, min_area)
        while (batch := list(islice(found, _BATCH))) or not written:
            _append(path, batch, classes, crs, append=written > 0)
            written += len(batch)
            if not batch:
                break
    return written


def _append(path: Path, batch: Sequence[Region], classes: Sequence[str], crs: str | None, append: bool) -> None:
    from pyogrio.raw import write

    geometry = np.array([_well_known_binary(rings) for _, rings, _ in batch], dtype=object)
    ids = np.array([index for index, _, _ in batch], dtype=np.int32)
    names = np.array([classes[index] for index in ids], dtype=object)
    sizes = np.array([size for _, _, size in batch], dtype=np.float64)
    write(
        path.absolute(),
        geometry,
        [ids, names, sizes],
        ["id", "class", "area_m2"],
        layer=LAYER,
        driver="GPKG",
        geometry_type="Polygon",
        crs=crs,
        append=append,
    )


def _regions(file: Any, ground: Ground | None, min_area: float) -> Iterator[Region]:
    for shape, value in shapes(rasterio.band(file, 1), connectivity=4, transform=file.transform):
        if int(value) == NODATA:
            continue
        rings = shape["coordinates"]
        size = ground.polygon(rings) if ground else float("nan")
        if not size < min_area:  # without a size there is no least one
            yield int(value), rings, size


def _well_known_binary(rings: Sequence[Ring]) -> bytes:
    """A polygon, little-endian."""
    parts = [struct.pack("<BII", 1, _POLYGON, len(rings))]
    for ring in rings:
        parts += [struct.pack("<I", len(ring)), np.asarray(ring, dtype="<f8").tobytes()]
    return b"".join(parts)
