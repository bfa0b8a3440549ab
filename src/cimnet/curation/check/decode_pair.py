"""Decode each file of a pair once, and say what is wrong with those that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cimnet.curation.check.image_stats import Border, inside
from cimnet.data.io.bands import Bands
from cimnet.data.io.notices import keep_notices
from cimnet.data.io.open_image import opened, orientation
from cimnet.data.io.readers import Ids, is_rgbt, read_label_file, read_rgb
from cimnet.data.io.second_modality import THERMAL, SecondModality
from cimnet.data.io.thermal_files import Wanted, read_pair, read_thermal_counts, thermal_unit
from cimnet.data.io.thermal_scaling import Counts, ThermalScaling
from cimnet.data.io.tiff_tags import SAMPLES, read_tiff
from cimnet.data.labels import ids_by_palette, missing_pixels, read_color_label
from cimnet.errors import DataError, one_line
from cimnet.utils.colors import Color

Kind = Literal["rgb", "thermal", "label"]
Estimate = Callable[[npt.NDArray[np.uint8], npt.NDArray[np.float32]], "tuple[float, float] | None"]
"""RGB (H, W, 3) uint8 and thermal (H, W) float32 in 0..1 to the offset (dx, dy) in pixels; None: cannot tell."""


@dataclass(frozen=True)
class Job:
    """The files of one name; `rgb` and `thermal` are the same path for 4-channel files. `estimate`: whether the offset
    is to be measured."""

    name: str
    rgb: Path | None
    thermal: Path | None
    label: Path | None
    estimate: bool = False


@dataclass(frozen=True)
class Settings:
    """The settings for reading the files of a data set.

    Attributes:
        border: pixels to cut off, see `DatasetFile`.
        scaling: how thermal values become 0..1 where that is said.
        label_colors: the classes' colours, for labels in colours; None: labels hold ids.
        lookup: class ids by label value, as `label_lookup` makes it; None: the classes are not known.
        palette_colors: the classes' colours, by which a label's palette may say its ids (`ids_by_palette`); None:
            values are what they are.
        bands: which bands of the files are which.
        second: what the second image is.
        estimate: measures the offset of a pair whose job asks for it.
    """

    border: Border = (0, 0, 0, 0)
    scaling: ThermalScaling | None = None
    label_colors: tuple[Color, ...] | None = None
    lookup: npt.NDArray[np.int16] | None = None
    palette_colors: tuple[Color, ...] | None = None
    bands: Bands | None = None
    second: SecondModality = THERMAL
    estimate: Estimate | None = None


@dataclass(frozen=True)
class Problem:
    """A file that cannot be used, or is used with a doubt, in the reader's words; path None: the pair as a whole."""

    kind: Kind
    path: Path | None
    message: str


@dataclass
class Files:
    """The decoded files of a pair without the border, None where there is none or it cannot be used.

    `thermal`: (H, W), or (H, W, C) of a second image of several channels;
    `label`: values as stored, or class ids where labels are in colours; `unlabelled` (H, W): where it has the value
    that its file declares as nodata; `unit`: the one that a thermal file states, or that it is converted to; `sizes`:
    (height, width) of the whole images; `formats`: "PNG RGB" and the like; `turned`: EXIF orientations; `doubts`: what
    is odd about files that are read in spite of it.
    """

    rgb: npt.NDArray[np.uint8] | None = None
    thermal: Counts | None = None
    label: Ids | None = None
    unlabelled: npt.NDArray[np.bool_] | None = None
    unit: str | None = None
    sizes: dict[Kind, tuple[int, int]] = field(default_factory=dict)
    formats: dict[Kind, str] = field(default_factory=dict)
    turned: dict[Kind, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    doubts: list[Problem] = field(default_factory=list)


def read_files(job: Job, settings: Settings) -> Files:
    """Decode the files of a pair. Nothing that is wrong with them raises."""
    files = Files()

    def attempt(kind: Kind, path: Path | None, read: Callable[[Path], Any]) -> Any:
        with keep_notices() as texts:
            try:
                return None if path is None else read(path)
            except Exception as error:  # DataError; numpy and others on files that nobody thought of
                files.problems.append(Problem(kind, path, one_line(error, None).removeprefix(f"{path}: ")))
                return None
            finally:
                files.doubts += [Problem(kind, path, text.removeprefix(f"{path}: ")) for text in texts]

    def part(kind: Kind, path: Path | None, read: Callable[[Path], Any]) -> Any:
        """A file without the border, None where that fails."""
        whole = attempt(kind, path, read)
        if whole is not None and path is not None:
            files.sizes[kind] = whole.shape[:2]
            several = kind == "thermal" and settings.second.channels > 1
            files.formats[kind], files.turned[kind] = _header(path, several)
            return attempt(kind, path, lambda path: _cut(whole, settings.border, path))
        return None

    fused = job.rgb is not None and job.thermal is not None and is_rgbt(job.rgb, job.thermal, settings.bands)
    both = attempt("rgb", job.rgb, lambda path: read_pair(path, path, _wanted(settings))) if fused else None
    if both is not None:
        files.rgb, files.thermal = part("rgb", job.rgb, lambda _: both[0]), part("thermal", job.rgb, lambda _: both[1])
    elif not fused:
        files.rgb, files.thermal = (
            part("rgb", job.rgb, lambda path: read_rgb(path, settings.bands, of_pair=True)),
            part("thermal", job.thermal, lambda path: _read_thermal(path, settings)),
        )
    if files.thermal is not None and not fused:
        files.unit = attempt("thermal", job.thermal, lambda path: thermal_unit(path, _wanted(settings)))
    labelled = attempt("label", job.label, lambda path: _read_label(path, settings))
    if labelled is not None:
        files.label = part("label", job.label, lambda _: labelled[0])
        files.unlabelled = None if labelled[1] is None else inside(labelled[1], settings.border)
    return files


def _read_thermal(path: Path, settings: Settings) -> Counts:
    counts = read_thermal_counts(path, _wanted(settings))
    if counts.dtype == np.float32 and not np.isfinite(counts).all():
        raise DataError(f"{path}: thermal values that are not finite (NaN or infinite); fill them first")
    return counts


def _wanted(settings: Settings) -> Wanted:
    unit = None if settings.scaling is None else settings.scaling.known_unit
    return Wanted(unit, bands=settings.bands, second=settings.second)


def _read_label(path: Path, settings: Settings) -> tuple[Ids, npt.NDArray[np.bool_] | None]:
    """Values or class ids, and where the file declares pixels as missing."""
    if settings.label_colors is not None:
        return read_color_label(path, settings.label_colors), None
    label = read_label_file(path, grey=True)
    missing = missing_pixels(label, settings.lookup, path)
    if settings.palette_colors is not None:
        label = ids_by_palette(label, settings.palette_colors, path)
    return label.ids, missing


def _cut(values: npt.NDArray[Any], border: Border, path: Path | None) -> npt.NDArray[Any]:
    cut = inside(values, border)
    if cut.size == 0:
        size = f"{values.shape[1]}x{values.shape[0]}"
        raise DataError(f"{path}: {size} pixels leave nothing inside the border {list(border)}; correct it")
    return np.ascontiguousarray(cut)


def _header(path: Path, several: bool) -> tuple[str, int]:
    """ "PNG RGB" and the EXIF orientation, from the header; `several`: it was read band by band."""
    if path.suffix.lower() == ".npy":
        return "NPY", 1
    bands = read_tiff(path).number(SAMPLES, 1)
    if bands > (1 if several else 4):  # more than Pillow opens; they are read by GDAL, which refuses a turned TIFF
        return f"TIFF of {bands} bands", 1
    with opened(path) as image:
        return f"{image.format} {image.mode}", orientation(image)
