"""The registered copy of a data set: its files, its list of pairs, and whether it can be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from cimnet.data import find_layout
from cimnet.data.io.facts import facts_of
from cimnet.data.io.open_image import opened, upright
from cimnet.data.io.pair_table import TABLE, read_table
from cimnet.data.io.patterns import FileIndex
from cimnet.data.io.readers import read_label, read_rgb
from cimnet.data.io.thermal_files import Wanted, read_pair, thermal_unit
from cimnet.data.io.thermal_scaling import Counts
from cimnet.data.io.write_images import copy_image, write_thermal
from cimnet.data.pairs import Pair, check_sizes
from cimnet.errors import DataError
from cimnet.registration.mapping import Mapping
from cimnet.utils.files import csv_text, write_text

Box = tuple[int, int, int, int]
"""Top, bottom, left, right."""


@dataclass
class RegisteredCopy:
    """The copy of a data set that is being written into the folder `part`.

    Attributes:
        box: that all images are cropped to; None: none.
        files: path below the folder by source.
        made: what each file that was written comes from.
    """

    root: Path
    part: Path
    index: FileIndex
    wanted: Wanted
    box: Box | None
    files: dict[Path, str] = field(default_factory=dict)
    made: dict[Path, tuple[object, ...]] = field(default_factory=dict)

    def write(self, name: str, mapping: Mapping) -> None:
        """A pair with its label: thermal warped, everything cropped to the box.

        Raises:
            DataError: a file cannot be read, or the form of the copy cannot hold what it says.
        """
        index, box = self.index, self.box
        rgb, counts = decode_pair(index, name, self.wanted)
        thermal, _ = mapping.apply(counts, (rgb.shape[0], rgb.shape[1]))
        area = (slice(None), slice(None)) if box is None else (slice(box[0], box[1]), slice(box[2], box[3]))
        if name in index.labels.files:
            self._copy(index.labels.files[name], _crop_label)
        colours = index.rgb.files[name]
        path = colours if index.thermal is None else index.thermal.files[name]
        if path == colours:
            if np.ma.is_masked(thermal):
                raise DataError(
                    f"{path}: missing pixels, which the 4-channel files of a registered copy cannot mark; "
                    "`cimnet data convert` to the layout folder first"
                )
            target = self._target(path).with_suffix(".png")
            Image.fromarray(np.dstack([rgb, thermal])[area]).save(target)
        else:
            self._copy(colours, _crop_rgb)
            target = write_thermal(self._target(path), thermal[area], thermal_unit(path, self.wanted))
        self._note(path, target, id(mapping), rgb.shape)

    def _target(self, path: Path) -> Path:
        if not path.is_relative_to(self.root) or ".." in path.parts[len(self.root.parts) :]:
            raise DataError(
                f"{path}: not named by a path below {self.root}, so that a copy has no place for it; move it into the "
                f"data set, and name it in {TABLE} by its path from there"
            )
        target = self.part / path.relative_to(self.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _copy(self, path: Path, crop: Callable[[Path, Box], Image.Image]) -> None:
        """Copy an image, or write its pixels within the box as PNG."""
        target = self._target(path)
        if self.box is None:
            copy_image(path, target)
        else:
            target = target.with_suffix(".png")
            crop(path, self.box).save(target)
        self._note(path, target)

    def _note(self, path: Path, target: Path, *how: object) -> None:
        """Keep what became of a file; refuse a second one of the same name."""
        source = (path, *how)
        if (other := self.made.setdefault(target, source)) != source:
            both = f"{other[0]} and {path}" if other[0] != path else f"{path}, of two pairs that are aligned apart,"
            raise DataError(f"{both} would both be {target.relative_to(self.part)} in the copy; rename or copy one")
        self.files[path] = target.relative_to(self.part).as_posix()

    def write_table(self, table: Path) -> None:
        """The list of pairs, with the names that the files have now."""
        rows = [
            [
                *("" if path is None else self.files[path] for path in (row.rgb, row.thermal, row.label)),
                row.split,
                row.name,
            ]
            for row in read_table(table)
        ]
        write_text(self.part / TABLE, csv_text(("rgb", "thermal", "label", "split", "name"), rows))

    def check(self, layout: str, out: Path) -> None:
        """Open what was written: its pairs, labels and splits are those of the source.

        Raises:
            DataError: they are not; it names `out`.
        """
        try:
            found, names = find_layout(self.part, layout).index(self.part), set(common_names(self.index))
            thermal = {} if found.thermal is None else found.thermal.files
            if set(found.names()) != names or found.labels.files.keys() != self.index.labels.files.keys() & names:
                raise DataError(f"{self.part}: other pairs or labels than those of {self.root}")
            if [set(found.folders.get(split, ())) for split in self.index.folders] != [
                set(ids) & names for ids in self.index.folders.values()
            ]:
                raise DataError(f"{self.part}: other splits than those of {self.root}")
            check_sizes(
                [Pair(n, found.rgb.files[n], thermal.get(n), found.labels.files.get(n)) for n in sorted(names)],
                self.wanted,
            )
        except DataError as error:
            reason = str(error).replace(str(self.part), str(out))
            raise DataError(f"{self.root}: its copy could not be read: {reason}") from error


def _crop_rgb(path: Path, box: Box) -> Image.Image:
    """The colours of a picture, also where its file keeps them in a palette."""
    return Image.fromarray(read_rgb(path)[box[0] : box[1], box[2] : box[3]])


def _crop_label(path: Path, box: Box) -> Image.Image:
    """A label as it is kept: ids of any depth, with their palette, or colours."""
    with opened(path) as image:
        facts = facts_of(image, path)
        if facts.nodata is not None:
            raise DataError(
                f"{path}: a label with a nodata value, which is lost when it is cropped; `cimnet data convert` first"
            )
        if facts.white_is_zero:  # ids as stored, not as shown
            return Image.fromarray(read_label(path)[box[0] : box[1], box[2] : box[3]])
        top, bottom, left, right = box
        part = upright(image).crop((left, top, right, bottom))
        part.load()
        return part


def common_names(index: FileIndex) -> list[str]:
    """Names of the pairs that have both images.

    Raises:
        DataError: none has.
    """
    thermal = index.thermal or index.rgb
    names = sorted(index.rgb.files.keys() & thermal.files.keys())
    if not names:
        raise DataError(f"{index.rgb.folder} and {thermal.folder}: no two images share a name")
    return names


def decode_pair(index: FileIndex, name: str, wanted: Wanted) -> tuple[npt.NDArray[np.uint8], Counts]:
    """RGB (H, W, 3) and raw thermal values (H, W) of a pair."""
    rgb = index.rgb.files[name]
    return read_pair(rgb, index.thermal.files[name] if index.thermal else rgb, wanted)
