"""Write a registered copy of a data set, by one matrix for the cameras or by a matrix for each pair."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cimnet.curation.register.registered_copy import Box, RegisteredCopy, common_names, decode_pair
from cimnet.data import Folder, find_layout
from cimnet.data.dataset_file import DatasetFile, read_dataset_file
from cimnet.data.flags import FLAG_LISTS
from cimnet.data.io.notices import notice
from cimnet.data.io.open_image import image_size
from cimnet.data.io.pair_table import find_table
from cimnet.data.io.patterns import FileIndex
from cimnet.data.io.second_modality import THERMAL
from cimnet.data.io.thermal_files import Wanted, thermal_size
from cimnet.data.io.thermal_scaling import Counts
from cimnet.errors import DataError
from cimnet.registration.bands import BandOffset, band_offsets
from cimnet.registration.estimate import Alignment, align_pair, align_prepared
from cimnet.registration.mapping import FEW, Mapping, Size
from cimnet.registration.prepare import prepare
from cimnet.utils.files import require_apart, require_stageable, staged_folder
from cimnet.utils.numbers import pluralize, spread_evenly
from cimnet.utils.pool import Progress

_CARRIED = (
    "*.txt", "*.yaml", "*.yml", "*.json", "splits/**/*.txt", "scenes/*.txt", "folds/**/*.txt", "folds/*.json",
    "**/rgbt_splits/*.txt", "annotations/*panoptic_*.json",
)  # fmt: skip
SAMPLE = 24
"""Pairs, evenly spaced, that a rig's matrix is estimated from."""


@dataclass
class Registration:
    """The result of a registration.

    Attributes:
        mapping: given by the caller or estimated for the rig; None where every pair has a matrix of its own.
        rig: the estimate for the rig, where there is one.
        pairs: each pair's own estimate by name, where these were asked for.
        fallback: pairs that use the common mapping, because they have no matrix of their own.
        left_over: what these matrices leave, by height in the image, over a sample of the pairs; empty where the
            mapping that was given is more than a matrix.
    """

    mapping: Mapping | None
    rig: Alignment | None = None
    pairs: dict[str, Alignment] = field(default_factory=dict)
    fallback: list[str] = field(default_factory=list)
    left_over: list[BandOffset] = field(default_factory=list)

    def median(self) -> tuple[float, float] | None:
        """Median dx and dy, in RGB pixels, of the pairs that have a matrix of their own; None without any."""
        own = [(pair.dx, pair.dy) for pair in self.pairs.values() if pair.matrix is not None]
        if not own:
            return None
        dx, dy = np.median(np.asarray(own, float), axis=0).tolist()
        return dx, dy

    def to_json(self) -> str:
        """Everything but positions."""
        its = Mapping() if self.mapping is None else self.mapping
        matrix = None if its.matrix is None else its.matrix.tolist()
        rig = None if self.rig is None else self.rig.to_dict()
        pairs = {name: found.to_dict() for name, found in self.pairs.items()}
        content = {"matrix": matrix, "rgb_size": its.rgb_size, "thermal_size": its.thermal_size}
        content |= {"rig": rig, "pairs": pairs, "fallback": self.fallback, "median": self.median()}
        content["left_over"] = [asdict(band) for band in self.left_over]
        return json.dumps(content, indent=2, allow_nan=False) + "\n"


def register_dataset(
    root: Path,
    out: Path,
    *,
    layout: str = "auto",
    mapping: Mapping | None = None,
    per_pair: bool = False,
    crop: bool = False,
    progress: Progress | None = None,
) -> Registration:
    """Copy a data set, its thermal images brought into the frame of the RGB images.

    Args:
        root: folder in any layout; RGB and thermal images may differ in size.
        out: new folder in the same layout, with the pairs, their labels, lists and classes, and `alignment.json`. The
            list of weakly aligned pairs is left out, with a `DataWarning`.
        mapping: from a calibration or points; None: one matrix is estimated from the images.
        per_pair: estimate each pair's own matrix; where that is unknown, the common one is used.
        crop: cut all images to the largest rectangle, common to all pairs, where the thermal images have values.
        progress: called with the number of finished pairs and the total.

    Raises:
        DataError: nothing to register, images that cannot be read, a matrix that cannot be estimated, boxes in
            COCO's JSON beside images that are to be cropped, files that the copy has no place for, or a copy that could
            not be read.
        CimnetError: `out` exists or cannot be written.
    """
    out = out.absolute()
    require_apart(out, root)
    require_stageable(out)
    layout_class = find_layout(root, layout)
    file = read_dataset_file(root)
    if crop and (layout_class.name == "coco_panoptic" or (file is not None and any(file.border))):
        raise DataError(
            f"{root}: panoptic labels and images with a border cannot be cropped; `cimnet data convert` first"
        )
    if crop:
        _refuse_boxes(root)
    (THERMAL if file is None else file.second or THERMAL).require_one_channel(
        "cimnet data align", "align one channel with it, or resample the files with gdalwarp"
    )
    wanted = _wanted(file)
    if wanted.bands is not None and (wanted.bands.colours or wanted.bands.thermal_numbers):
        raise DataError(
            f"{file.path if file else root}: bands of a file are chosen, and `data align` writes files of one image; "
            "write each as a file of its own first (gdal_translate -b N IN OUT)"
        )
    index = layout_class.index(root)
    done, mappings = _mappings(root, index, mapping, per_pair, progress, wanted, 0.0 if crop else FEW)
    with staged_folder(out) as part:
        copy = RegisteredCopy(root, part, index, wanted, _common_box(index, mappings, wanted) if crop else None)
        for number, (name, its) in enumerate(mappings.items(), start=1):
            copy.write(name, its)
            if progress is not None:
                progress(number, len(mappings))
        weak = f"{FLAG_LISTS['weakly_aligned']}.txt"
        for path in [path for pattern in _CARRIED for path in root.glob(pattern)]:
            if path.name == weak:
                notice(
                    f"{path}: left out, because it lists pairs as they lay before; `cimnet data stats {out} "
                    "--write-lists --sample 100000` lists those that are weakly aligned now"
                )
                continue
            (part / path.relative_to(root)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, part / path.relative_to(root))
        if layout_class is Folder and (table := find_table(root)):
            copy.write_table(table)
        copy.check(layout, out)
        (part / "alignment.json").write_text(done.to_json(), encoding="utf-8")
    return done


def _refuse_boxes(root: Path) -> None:
    """Refuse COCO's JSON files, which would be copied with boxes and outlines that do not fit cropped images.

    Raises:
        DataError: naming the file.
    """
    for path in sorted(root.glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(content, dict) and "annotations" in content:
            raise DataError(
                f"{path}: its annotations would not fit cropped images; make labels of them first (`cimnet data label "
                "boxes`) and move the file elsewhere, or leave --crop out"
            )


def _mappings(
    root: Path,
    index: FileIndex,
    mapping: Mapping | None,
    per_pair: bool,
    progress: Progress | None,
    wanted: Wanted,
    least: float,
) -> tuple[Registration, dict[str, Mapping]]:
    """The mapping of each pair by name: its own, the one given, or that of the rig."""
    names, done = common_names(index), Registration(mapping)
    shown = [names[i] for i in spread_evenly(len(names), SAMPLE)]
    own: dict[str, Mapping] = {}
    for number, name in enumerate(names if per_pair else (), start=1):
        done.pairs[name] = align_pair(*_read(index, name, wanted))
        matrix = done.pairs[name].matrix
        if matrix is not None:
            own[name] = Mapping(matrix)
        if progress is not None:
            progress(number, len(names))
    done.fallback = [name for name in names if per_pair and name not in own]
    if mapping is None and len(own) < len(names):
        sample = prepare(_read(index, name, wanted) for name in shown)
        done.rig = align_prepared(sample)
        if done.rig.matrix is None:
            raise DataError(
                f"{root}: the images do not show how the cameras are aligned; give matched points (--points) or "
                "a calibration (--calibration)"
            )
        assert sample is not None  # it gave a matrix
        mapping = Mapping(done.rig.matrix, None, sample.full, sample.thermal_full, "the matrix of the cameras")
    if mapping is not None:
        common = [name for name in names if name not in own]
        mapping = done.mapping = _in_known_pixels(mapping, index, common, wanted, least)
    mappings = {name: own[name] if mapping is None else own.get(name, mapping) for name in names}
    if done.rig is not None and done.rig.matrix is not None and not own:  # one matrix: the sample is at hand
        done.left_over = band_offsets([(sample, done.rig.matrix)])
    else:
        done.left_over = band_offsets(
            (prepare([_read(index, name, wanted)]), matrix)
            for name in shown
            if mappings[name].matrix is not None
            and (matrix := mappings[name].at(*_sizes(index, name, wanted)).matrix) is not None
        )
    return done, mappings


def _in_known_pixels(mapping: Mapping, index: FileIndex, names: list[str], wanted: Wanted, least: float) -> Mapping:
    """The common mapping of these pairs, with the sizes that it is for: those it was made for, or those of all pairs.
    Gives a `DataWarning` if it covers less than the share `least` of the RGB images.

    Raises:
        DataError: it is not known which of several sizes it is for, it cannot be scaled to one of them, or thermal
            images would have no value in the frame of the RGB images.
    """
    sizes = {name: _sizes(index, name, wanted) for name in names}
    if not sizes:
        return mapping
    first, size = next(iter(sizes.items()))
    other = next((name for name in sizes if sizes[name] != size), None)
    if other is not None and None in (mapping.rgb_size, mapping.thermal_size):
        raise DataError(
            f"{mapping.source}: does not say for which sizes it was made, and the pairs have several: "
            f"{first} {_said(*size)}, {other} {_said(*sizes[other])}; write rgb_size and thermal_size, [height, "
            "width], into a calibration file, or register the sizes apart"
        )
    made = mapping.rgb_size or size[0], mapping.thermal_size or size[1]
    scaled = [name for name in sizes if sizes[name] != made]
    for these, name in {its: name for name, its in reversed(sizes.items())}.items():
        try:
            inside = _covered(mapping, *these)
        except DataError as error:
            raise DataError(f"{index.rgb.files[name]}: {error}") from error
        if (covered := float(inside.mean())) < least:
            notice(
                f"{mapping.source}: the thermal image covers only {covered:.0%} of the RGB image ({_said(*these)}); "
                "the rest of the copy repeats its edge (--crop leaves the rest out)"
            )
    if scaled:
        notice(
            f"{mapping.source}: made for {_said(*made)}; scaled for {pluralize(len(scaled), 'pair')} such as "
            f"{scaled[0]} ({_said(*sizes[scaled[0]])}), which is right if they show the same as at the other size"
        )
    return replace(mapping, rgb_size=made[0], thermal_size=made[1])


def _said(rgb: Size, thermal: Size) -> str:
    return f"RGB {rgb[1]}x{rgb[0]} and thermal {thermal[1]}x{thermal[0]}"


def _sizes(index: FileIndex, name: str, wanted: Wanted) -> tuple[Size, Size]:
    """(height, width) of the RGB and the thermal image of a pair."""
    thermal = index.thermal.files[name] if index.thermal else index.rgb.files[name]
    return image_size(index.rgb.files[name]), thermal_size(thermal, wanted)


def _covered(mapping: Mapping, rgb: Size, thermal: Size) -> npt.NDArray[np.bool_]:
    """Where a warped thermal image has values, in the frame of the RGB image.

    Raises:
        DataError: nowhere.
    """
    return mapping.apply(np.ones(thermal, np.uint8), rgb)[1]


def _common_box(index: FileIndex, mappings: dict[str, Mapping], wanted: Wanted) -> Box:
    """top, bottom, left, right of the rectangle in which every warped thermal image has values."""
    inside: npt.NDArray[np.bool_] | None = None
    known: set[tuple[int, Size, Size]] = set()  # most pairs share one mapping
    for name, mapping in mappings.items():
        rgb, thermal = _sizes(index, name, wanted)
        if (key := (id(mapping), rgb, thermal)) in known:
            continue
        known.add(key)
        here = _covered(mapping, rgb, thermal)
        if inside is not None and inside.shape != here.shape:
            raise DataError(f"{index.rgb.files[name]}: --crop needs images of one size")
        inside = here if inside is None else inside & here
    assert inside is not None
    top, bottom, left, right = 0, inside.shape[0], 0, inside.shape[1]
    while top < bottom and left < right and not (area := inside[top:bottom, left:right]).all():
        sides = {"top": area[0], "bottom": area[-1], "left": area[:, 0], "right": area[:, -1]}
        worst = max(sides, key=lambda side: 1 - float(sides[side].mean()))  # give up the emptiest side
        top, left = top + (worst == "top"), left + (worst == "left")
        bottom, right = bottom - (worst == "bottom"), right - (worst == "right")
    if top >= bottom or left >= right:
        raise DataError("--crop: the thermal images have no area in common in the frame of the RGB images")
    return top, bottom, left, right


def _wanted(file: DatasetFile | None) -> Wanted:
    """Return how the thermal images of a data set are read, according to its YAML file."""
    return Wanted(bands=None if file is None else file.bands)


def sizes_differ(root: Path, index: FileIndex) -> Iterator[bool]:
    """Whether the RGB and the thermal image of each pair of a data set differ in size."""
    wanted = _wanted(read_dataset_file(root))
    if index.thermal is not None:
        for name in common_names(index):
            rgb, thermal = _sizes(index, name, wanted)
            yield rgb != thermal


def _read(index: FileIndex, name: str, wanted: Wanted) -> tuple[npt.NDArray[np.uint8], Counts]:
    """A pair as it is compared."""
    image, counts = decode_pair(index, name, wanted)
    plain: Any = np.ma.getdata(counts)  # of the same type; under its mask lie the nearest values
    return image, plain
