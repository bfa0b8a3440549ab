"""Write one pair into a new folder: files are copied if nothing changes, and encoded without loss otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from cimnet.curation.convert.targets import PANOPTIC, Target
from cimnet.data.dataset import RGBTDataset
from cimnet.data.io.bands import Bands
from cimnet.data.io.open_image import opened, upright
from cimnet.data.io.readers import is_rgbt, same_file
from cimnet.data.io.thermal_files import is_radiometric, thermal_unit
from cimnet.data.io.thermal_scaling import Counts, ThermalScaling
from cimnet.data.io.write_images import COMPRESSION, copy_image, write_thermal
from cimnet.data.pairs import Arrays, Pair
from cimnet.errors import DataError

_EXTENSIONS = {"PNG": ".png", "JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tiff", "BMP": ".bmp"}


@dataclass(frozen=True)
class Destination:
    """The destination of a pair: `name` and `split` as `FilePattern.path` takes them; `id`: the pair's name there."""

    name: str
    split: str
    id: str


@dataclass(frozen=True)
class Job:
    """The settings that all pairs share: the output folder, the reader of the source, the target, whether to scale
    thermal values to 8 bits, and whether to do so if half of them or more lie outside the range."""

    folder: Path
    reader: RGBTDataset
    target: Target
    scale: bool
    force_range: bool = False


class Segment(NamedTuple):
    """A segment of a panoptic label; `box`: left, top, width, height."""

    id: int
    pixels: int
    box: tuple[int, int, int, int]


class Written(NamedTuple):
    """A pair as written: where, its RGB file below the folder, (height, width), and the segments of a panoptic label;
    None: without a label."""

    place: Destination
    rgb: str
    size: tuple[int, int]
    segments: list[Segment] | None


def write_pair(job: Job, task: tuple[Pair, Destination]) -> Written:
    """Read a pair and write it.

    Raises:
        DataError: a file that cannot be read, or thermal values that the target's files cannot hold.
        OSError: the folder cannot be written.
    """
    pair, place = task
    arrays = job.reader.decode(pair)
    arrays = arrays._replace(thermal=_fit(arrays.thermal, job, pair.thermal or pair.rgb))
    changed = pair.mirrored or any(job.reader.file.border)
    write = _write_together if job.target.form.thermal is None else _write_apart
    rgb = write(job, pair, place, arrays, changed)
    segments = None if arrays.label is None else _write_label(job, place, arrays.label)
    return Written(place, rgb, (arrays.rgb.shape[0], arrays.rgb.shape[1]), segments)


def to_8_bit(counts: Counts, scaling: ThermalScaling, path: Path, force_range: bool = False) -> npt.NDArray[np.uint8]:
    """(H, W) thermal values as 0..255 by the data set's scaling; `force_range` as in `ThermalScaling.check_range`.

    Raises:
        DataError: 16-bit values without a range: a scene fills a few of the 256 steps. Or half of the values or more
            lie outside the range.
    """
    if scaling.low is None and counts.dtype == np.uint16:
        raise DataError(
            f"{path}: 16-bit thermal values become 8 bits by a thermal_range; give one, such as the one that "
            f"`cimnet data stats` suggests, or [0, 65535]"
        )
    scaling.check_range(
        counts,
        path,
        force_range,
        what="the thermal range",
        remedy="Give the range of these values (--range, or thermal_range in classes.yaml)",
    )
    return (scaling(counts, path) * np.float32(255)).round().astype(np.uint8)


def _fit(counts: Counts, job: Job, path: Path) -> Counts:
    target = job.target
    if job.scale:
        counts = to_8_bit(counts, job.reader.scaling, path, job.force_range)
    if counts.dtype.name in target.depths:
        return counts
    if target.depths == ("uint8",):
        remedy = "say --thermal scale (and --range), or convert to the layout folder"
    else:
        remedy = "a sensor's counts cannot be made up: convert to the layout folder"
    raise DataError(
        f"{path}: {counts.dtype.name} thermal values, but {target.name} holds {target.depths[0]} alone; {remedy}"
    )


def _write_together(job: Job, pair: Pair, place: Destination, arrays: Arrays, changed: bool) -> str:
    """A 4-channel file."""
    if arrays.thermal.min() == 255:
        raise DataError(
            f"{pair.thermal or pair.rgb}: thermal values of 255 everywhere would be read as opacity in the 4-channel "
            f"files of {job.target.name}; leave the pair out"
        )
    as_it_is = not (changed or job.scale or job.reader.wanted.bands) and pair.thermal is None
    if np.ma.is_masked(arrays.thermal) and not as_it_is:
        raise DataError(
            f"{pair.thermal or pair.rgb}: missing pixels, which the 4-channel files of {job.target.name} cannot mark; "
            "convert to the layout folder"
        )
    values = np.dstack([arrays.rgb, arrays.thermal])
    return _write_rgb(job, place, pair.rgb if as_it_is else None, values)


def _write_apart(job: Job, pair: Pair, place: Destination, arrays: Arrays, changed: bool) -> str:
    """Two files, each copied only if the target, which chooses no bands and declares the unit of the range alone, reads
    the same from it."""
    wanted, thermal = job.reader.wanted, pair.thermal or pair.rgb
    bands = wanted.bands or Bands()
    apart = not changed and not same_file(pair.rgb, thermal)
    converted = wanted.unit is not None and wanted.declared not in (None, wanted.unit)
    counts = thermal if apart and bands.thermal is None and not (converted or job.scale) else None
    if counts is not None and (counts.suffix.lower() == ".npy" or is_radiometric(counts)):
        counts = None
    if counts is not None and (extension := _extension(counts, job.target.formats["thermal"])) is not None:
        copy_image(counts, _path(job, "thermal", place, extension))
    else:
        unknown = job.scale or is_rgbt(pair.rgb, thermal, wanted.bands)
        unit = None if unknown else thermal_unit(thermal, wanted)
        write_thermal(_path(job, "thermal", place), arrays.thermal, unit)
    return _write_rgb(job, place, pair.rgb if apart and not bands.colours else None, arrays.rgb)


def _write_rgb(job: Job, place: Destination, source: Path | None, values: npt.NDArray[Any]) -> str:
    """Copy a file of colours, or of four channels, if the target may hold it as it is, else write its values; its path
    below the folder."""
    extension = None if source is None else _extension(source, job.target.formats["rgb"])
    path = _path(job, "rgb", place, extension)
    if source is not None and extension is not None:
        copy_image(source, path)
    else:
        Image.fromarray(values).save(path, compress_level=COMPRESSION)
    return path.relative_to(job.folder).as_posix()


def _extension(path: Path, formats: Sequence[str]) -> str | None:
    """The extension for a copy of an image file; None where its format is not one of these or it is not upright."""
    with opened(path) as image:
        plain = image.format in formats and upright(image) is image
        return _EXTENSIONS[image.format or ""] if plain else None


def _path(job: Job, kind: str, place: Destination, extension: str | None = None) -> Path:
    path = job.folder / job.target.form.path(kind, place.name, place.split, extension)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _write_label(job: Job, place: Destination, label: npt.NDArray[np.uint8]) -> list[Segment]:
    values = job.target.values[job.target.ids[label]]
    if job.target.name != PANOPTIC:
        Image.fromarray(values).save(_path(job, "labels", place))
        return []
    # id = red + 256 · green + 65536 · blue, and there are fewer than 256 segments
    Image.fromarray(np.dstack([values, 0 * values, 0 * values])).save(_path(job, "labels", place))
    return [_segment(int(value), values == value) for value in np.unique(values) if value]


def _segment(number: int, mask: npt.NDArray[np.bool_]) -> Segment:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    left, top, right, bottom = (int(v) for v in (columns[0], rows[0], columns[-1], rows[-1]))
    return Segment(number, int(mask.sum()), (left, top, right - left + 1, bottom - top + 1))
