"""Segment two rasters into a raster of classes, with polygons and areas; an interrupted run can be resumed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rasterio.io import DatasetReader
from torch import Tensor

from cimnet.deploy.geo.areas import ClassArea, Ground, Values, count_areas, to_csv
from cimnet.deploy.geo.classes_file import NODATA, Ids, category_names, write_classes
from cimnet.deploy.geo.outputs import Outputs, staged, writing
from cimnet.deploy.geo.polygons import try_geopackage, write_polygons
from cimnet.deploy.geo.qgis_style import qgis_style
from cimnet.deploy.geo.rasters import RasterPair, open_pair
from cimnet.deploy.geo.scratch import Scratch, describe
from cimnet.errors import ConfigError, DataError
from cimnet.inference import Predictor
from cimnet.inference.windows import STRIP, Windows
from cimnet.models.base import class_ids
from cimnet.utils.gdal import offline

_CACHE = 128  # MB of GDAL's blocks


@dataclass(frozen=True)
class GeoResult:
    """The written files and their figures.

    Attributes:
        areas: area of each class, in the order of the ids; square metres only if areas or polygons were asked for.
        missing: number of pixels without a class.
        polygons: number of polygons. None: they were not asked for.
    """

    areas: tuple[ClassArea, ...]
    missing: int
    polygons: int | None


def predict_geotiff(
    predictor: Predictor,
    rgb: str | Path,
    thermal: str | Path,
    out: str | Path,
    *,
    polygons: str | Path | None = None,
    areas: str | Path | None = None,
    min_area: float = 0.0,
    require_both: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int], object] | None = None,
    warn: Callable[[str], object] = warnings.warn,
) -> GeoResult:
    """Segment an orthomosaic of any size, window by window. After an interruption, the same call resumes.

    The output has the grid of the RGB raster: uint8 class ids, 255 where there is no data, with colour table, overviews
    and names (in OUT.aux.xml). Beside it, and beside the polygons, NAME.qml holds colours and names for QGIS.

    Args:
        predictor: the model, from :func:`cimnet.load`; its settings give window, overlap, batch size and precision.
        rgb: GeoTIFF of 3 bands uint8, or 4 with opacity. The settings' ``bands`` choose other bands, and their range.
        thermal: GeoTIFF of 1 band, or of as many as the second image has channels, of any resolution, extent and
            coordinate reference system; it is resampled to the RGB grid (bilinear). The settings' ``bands`` choose
            other bands, and their ``thermal_unit`` is its unit if it states none. The same path as ``rgb`` for one
            raster of 4 bands, the thermal band last, or of chosen bands.
        out: GeoTIFF to write.
        polygons: GeoPackage to write, one polygon for each region of one class. None: none.
        areas: CSV to write: pixels, share and area of each class. None: none.
        min_area: smaller polygons are left out, square metres.
        require_both: whether pixels that only one sensor shows get no class. False: they are predicted with the other
            image black.
        overwrite: whether to replace outputs and drop what an interrupted call left. If this call is interrupted
            itself, the same call without ``overwrite`` resumes it.
        progress: called with the number of finished blocks and the total.
        warn: called with each warning about odd inputs.

    Raises:
        DataError: a raster cannot be read or used (bands, depth, georeference), the rasters do not overlap, or areas
            are asked for in a projection that distorts them.
        ConfigError: a setting or file name cannot be used, or a library is missing.
        CimnetError: an output exists or cannot be written, or another call was interrupted there.
    """
    rgb, thermal = Path(rgb), Path(thermal)
    outputs = Outputs(Path(out), *(None if path is None else Path(path) for path in (polygons, areas)))
    for raster in (rgb, thermal):
        if not raster.is_file():
            raise DataError(f"{raster}: no such file")
    if min_area > 0 and outputs.polygons is None:
        raise ConfigError("min_area: leaves out polygons, and none are asked for; give --polygons NAME.gpkg, too")
    outputs.check(rgb, thermal)
    settings = predictor.settings
    asked_bands, unit = settings.bands, settings.thermal_unit
    with (
        outputs.locked(),
        offline(GDAL_CACHEMAX=_CACHE, GDAL_TIFF_OVR_BLOCKSIZE=512),
        open_pair(rgb, thermal, predictor.info, require_both, warn, asked_bands, settings.force_range, unit) as pair,
    ):
        raster = pair.rgb
        measured = outputs.asked != [outputs.classes] and raster.crs
        ground = Ground(str(rgb), raster.crs, raster.transform, raster.shape) if measured else None
        if min_area > 0 and ground is None:
            raise ConfigError(f"min_area: {rgb} has no coordinate reference system, so its polygons have no area")
        height, width = raster.shape
        overlap = settings.overlap
        windows = settings.windows(height, width) or Windows(height, width, max(height, width), overlap)
        grid = {
            "window": windows.size,
            "overlap": overlap,
            "strip": STRIP,
            "scaling": str(pair.scaling),
            "require-both": require_both,
            "bands": None if asked_bands is None else str(asked_bands),
            **({} if unit is None else {"thermal unit": unit}),
        }
        scratch = Scratch(outputs, raster.shape, describe(predictor, rgb, thermal, **grid), overwrite)
        try:
            with staged(outputs.all) as hidden:
                if outputs.polygons is not None:
                    with writing(outputs.polygons):
                        try_geopackage(hidden[outputs.polygons])
                _run(predictor, pair, windows, scratch, progress or (lambda done, total: None))
                tally = _Tally(ground)
                number = _write(outputs, hidden, predictor, raster, scratch, tally, min_area)
                for path in outputs.stale:
                    with writing(path):
                        path.unlink()
                scratch.name({path: hidden[path] for path in outputs.all if _wanted(path, hidden[path], scratch, warn)})
        except BaseException:
            scratch.close()
            raise
        scratch.delete()
        return GeoResult(tally.areas(predictor.classes), int(tally.pixels[NODATA]), number)


def _write(
    outputs: Outputs,
    hidden: Mapping[Path, Path],
    predictor: Predictor,
    raster: DatasetReader,
    scratch: Scratch,
    tally: _Tally,
    min_area: float,
) -> int | None:
    """Write all outputs under their hidden names.

    Returns:
        Number of polygons; None: not requested.
    """
    classes, colors, number = predictor.classes, predictor.colors, None
    place = {} if raster.transform.is_identity else {"crs": raster.crs, "transform": raster.transform}
    with writing(outputs.classes):
        write_classes(hidden[outputs.classes], scratch.rows, raster.shape, place, classes, colors, tally.count)
    if outputs.polygons is not None:
        with writing(outputs.polygons):
            path = hidden[outputs.polygons]
            number = write_polygons(path, hidden[outputs.classes], classes, tally.ground, min_area)
    texts = {outputs.names: category_names(classes, colors)}
    texts.update(dict.fromkeys(outputs.styles, qgis_style(classes, colors)))
    if outputs.areas is not None:
        texts[outputs.areas] = to_csv(tally.areas(classes))
    for name, text in texts.items():
        with writing(name):
            hidden[name].write_text(text, encoding="utf-8")
    return number


def _wanted(path: Path, new: Path, scratch: Scratch, warn: Callable[[str], object]) -> bool:
    """Whoever changed the style in QGIS keeps it, and learns that it is not the one of these classes."""
    if path.suffix != ".qml" or not path.exists() or scratch.may_replace(path):
        return True
    if path.read_bytes() != new.read_bytes():
        warn(f"{path}: another style exists and is kept; delete it to get one for these classes")
    return False


def _run(
    predictor: Predictor,
    pair: RasterPair,
    windows: Windows,
    scratch: Scratch,
    progress: Callable[[int, int], object],
) -> None:
    """Predict the blocks that are not done yet."""

    def read(top: int, left: int, height: int, width: int) -> tuple[Tensor, Tensor] | None:
        images = pair.read(top, left, height, width)
        return None if images is None else predictor.tensors(*images)

    progress(scratch.done, len(windows))
    for top, left, found in predictor.stitch(windows, read, skip=scratch.done):
        ids = class_ids(found, 0).byte().numpy()
        del found  # else it is held while the next row of windows is run: 50 MB of nine classes
        ids[~pair.known(top, left, *ids.shape)] = NODATA
        scratch.write(top, left, ids)
        progress(scratch.done, len(windows))


class _Tally:
    """Pixels and square metres by id, added up while the raster is written."""

    def __init__(self, ground: Ground | None) -> None:
        self.ground = ground
        self.pixels = np.zeros(256, dtype=np.int64)
        self.metres: Values | None = np.zeros(256) if ground else None

    def count(self, first: int, ids: Ids) -> None:
        rows = np.stack([np.bincount(row, minlength=256) for row in ids])
        self.pixels += rows.sum(axis=0)
        if self.ground is not None and self.metres is not None:
            self.metres += self.ground.pixels(first, len(ids)) @ rows

    def areas(self, classes: tuple[str, ...]) -> tuple[ClassArea, ...]:
        return count_areas(self.pixels, self.metres, classes)
