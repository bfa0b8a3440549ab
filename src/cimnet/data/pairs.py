"""Descriptions of a data set, of a pair's files and of a decoded pair."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cimnet.data.classes import ClassList
from cimnet.data.io.bands import Bands, band_size
from cimnet.data.io.facts import read_facts
from cimnet.data.io.open_image import image_size
from cimnet.data.io.readers import is_rgbt, same_file
from cimnet.data.io.side_files import side_files
from cimnet.data.io.thermal_files import Wanted, thermal_size, thermal_unit
from cimnet.data.io.thermal_scaling import Counts
from cimnet.errors import DataError
from cimnet.utils.pool import map_in_threads

CONVERT_UNITS = (
    "say `thermal_range: {kind: kelvin, low: 260, high: 330, unit: kelvin}` (in kelvin), which converts each file that "
    "states its unit, or convert the files"
)
"""The remedy where files state different units."""


@dataclass(frozen=True)
class Info:
    """The facts about a data set.

    Attributes:
        title: how it is called.
        classes: names and colours by id; None: its folder says.
        label_table: class id by value in the label files, 255 = ignore; None: values are class ids.
        sizes: pairs by split, as published.
        licence, citation, home: as stated by its authors.
        traps: what one should know before training on it.
    """

    title: str
    classes: ClassList | None
    label_table: dict[int, int] | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    licence: str = "not stated"
    citation: str = ""
    home: str = ""
    traps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pair:
    """The files of one sample. `thermal` None: fourth channel of the file `rgb`; `mirrored`: flip left-right;
    `meaning`: a digest of what another file says of the values in `label`, "" where none does.
    """

    id: str
    rgb: Path
    thermal: Path | None
    label: Path | None
    scene: str = ""
    flags: frozenset[str] = frozenset()
    mirrored: bool = False
    meaning: str = ""

    @property
    def files(self) -> list[Path]:
        """The files that its arrays depend on: images and label, then what lies beside them (`side_files`)."""
        named = [path for path in (self.rgb, self.thermal, self.label) if path is not None]
        return [*named, *(side for path in named for side in side_files(path))]


class Arrays(NamedTuple):
    """A decoded pair: rgb (H, W, 3) uint8, thermal (H, W) or, of several channels, (H, W, C) raw counts, label (H, W)
    uint8 or None."""

    rgb: npt.NDArray[np.uint8]
    thermal: Counts
    label: npt.NDArray[np.uint8] | None


def check_sizes(pairs: Sequence[Pair], wanted: Wanted | None = None) -> None:
    """Compare image sizes by the headers alone, read as `wanted` says.

    Raises:
        DataError: the images of a pair differ in size.
    """
    problems = [problem for problem in map_in_threads(partial(size_problem, wanted=wanted), pairs) if problem]
    if problems:
        more = f" (and {len(problems) - 1} more pairs)" if len(problems) > 1 else ""
        raise DataError(
            f"{problems[0]}{more}; register and resample to the size of the RGB image first (`cimnet data align`)"
        )


def check_units(pairs: Sequence[Pair], wanted: Wanted) -> None:
    """Compare the units that thermal files state, by their headers, where none is wanted that they are converted to.

    Raises:
        DataError: they differ; it names a file of each unit.
    """
    apart = [pair.thermal for pair in pairs if pair.thermal and not is_rgbt(pair.rgb, pair.thermal, wanted.bands)]
    if wanted.unit is not None or not apart:
        return
    first: dict[str, Path] = {}
    for path, unit in zip(apart, map_in_threads(partial(thermal_unit, wanted=wanted), apart), strict=True):
        if unit is not None:
            first.setdefault(unit, path)
    if len(first) > 1:
        named = ", ".join(f"{unit} ({path})" for unit, path in first.items())
        raise DataError(f"thermal files state different units: {named}; {CONVERT_UNITS}")


def rgb_size(path: Path, bands: Bands | None) -> tuple[int, int]:
    """(height, width) of an RGB image by its header: of the temperatures, where it is the visible picture inside.

    Raises:
        DataError: not there, or not an image.
    """
    if bands is not None and bands.embedded:
        return thermal_size(path)
    return band_size(path) if bands is not None and bands.colours else image_size(path)


def hides_turn(tags: Collection[int], size: tuple[int, int]) -> bool:
    """Whether files of one size (height, width), with these EXIF orientations, may have been made from each other's
    unturned images: one is turned by its tag and another has none, and the sizes are the same either way."""
    turned = [tag for tag in tags if tag != 1]
    return 0 < len(turned) < len(tags) and (size[0] == size[1] or max(turned) <= 4)


def turned_hint(*paths: Path) -> str:
    """Explain a difference in size if one file of a pair has an orientation tag; "" if none has."""
    for path in paths:
        if path.suffix.lower() in (".npy", ".tif", ".tiff"):  # a TIFF with such a tag is refused
            continue
        tag = read_facts(path).orientation
        if tag != 1:
            return (
                f" (the EXIF orientation tag {tag} of {path.name} is applied; if the other files were made from the "
                "unturned image, remove the tag: exiftool -Orientation= FILE)"
            )
    return ""


def size_problem(pair: Pair, wanted: Wanted | None = None) -> str | None:
    """Describe how the sizes of a pair's files differ, by their headers; None if they fit."""
    height, width = rgb_size(pair.rgb, None if wanted is None else wanted.bands)
    apart = pair.thermal is not None and not same_file(pair.rgb, pair.thermal)
    sizes = [(pair.thermal, thermal_size(pair.thermal, wanted))] if pair.thermal is not None and apart else []
    sizes += [] if pair.label is None else [(pair.label, image_size(pair.label))]
    for path, size in sizes:
        if size != (height, width):
            return f"{path} is {size[1]}x{size[0]} but {pair.rgb} is {width}x{height}{turned_hint(path, pair.rgb)}"
    return None
