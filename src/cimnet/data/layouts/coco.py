"""COCO's panoptic format: labels as segments in PNG files, described by one JSON file a split."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cimnet.data.classes import ClassList, choose_classes, palette
from cimnet.data.coco_sizes import check_stated_size
from cimnet.data.dataset import Cache, RGBTDataset
from cimnet.data.io.open_image import LOSSY, opened, upright
from cimnet.data.io.patterns import FileIndex, FilePattern, FilesOfKind
from cimnet.data.io.split_lists import name_some
from cimnet.data.layouts.coco_json import Panoptic, panoptic_files, read_panoptic
from cimnet.data.pairs import Info
from cimnet.data.sample import IGNORE_INDEX
from cimnet.errors import DataError
from cimnet.utils.numbers import pluralize


class CocoPanoptic(RGBTDataset):
    """`panoptic_SPLIT.json` beside `panoptic_SPLIT/*.png` (both in the root or in annotations/), `thermal/NAME.*`, and
    RGB images NAME as the JSON names them, in rgb/, SPLIT/, images/ or the root.

    Classes are the JSON's categories in the order of their ids, whichever these are; a class may have several segments
    in an image. Pixels of no segment (0) are ignored. Lists and classes.yaml (thermal_range, border) work as elsewhere.
    """

    name = "coco_panoptic"
    info = Info("COCO panoptic", classes=None)
    forms = (FilePattern("rgb/{name}", "thermal/{name}", "panoptic_{split}/{name}", nested=True),)
    settles = RGBTDataset.settles | {"label_table", "ignore_index", "label_format"}

    @classmethod
    def recognises(cls, root: Path) -> bool:
        return bool(panoptic_files(root)) and (root / "thermal").is_dir()

    @classmethod
    def expects(cls) -> str:
        return "panoptic_{train,test}.json, panoptic_{train,test}/, rgb/, thermal/"

    @classmethod
    def index(cls, root: Path) -> FileIndex:
        files = _read(root, cls)
        there = cls.forms[0].index(root)
        thermals = there.thermal.files if there.thermal is not None else {}
        uses = Counter(name for file in files for name in file.images)
        folder = root / f"{{{','.join(file.folder.name for file in files)}}}"
        rgb, thermal, labels = (
            FilesOfKind(str(root / "rgb"), {}),
            FilesOfKind(str(root / "thermal"), {}),
            FilesOfKind(str(folder), {}),
        )
        folders: dict[str, list[str]] = {}
        for file in files:
            for name, file_name in file.images.items():
                full = f"{file.split}/{name}" if uses[name] > 1 else name  # the JSON tells them apart
                folders.setdefault(file.split, []).append(full)
                places = (root / file_name, root / file.split / file_name, root / "images" / file_name)
                picture = there.rgb.files.get(name) or next((place for place in places if place.is_file()), None)
                found = ((rgb, picture), (thermal, thermals.get(name)), (labels, file.labels.get(name)))
                for part, path in found:
                    if path is not None:
                        part.files[full] = path
        return FileIndex(rgb, thermal, labels, folders)

    def __init__(
        self,
        root: str | Path,
        split: str,
        *,
        classes: str | Sequence[str] | None = None,
        cache: Cache = "none",
        cache_folder: str | Path = "runs/cache",
        **options: Any,
    ) -> None:
        """See `RGBTDataset`.

        Raises:
            DataError: as there; or an image has another size than its JSON file states.
        """
        root = Path(root)
        if not root.is_dir():
            raise DataError(f"{root}: no such folder")
        files = _read(root, type(self))
        found = _classes(files)
        choose_classes(classes, found, root)
        order = {category: class_id for class_id, category in enumerate(sorted(files[0].categories))}
        self._segments = {
            path: {segment: order[category] for segment, category in segments.items()}
            for file in files
            for path, segments in file.segments.items()
        }
        super().__init__(root, split, classes=found.names, cache="ram" if cache == "ram" else "none", **options)
        self.colors = found.colors
        self._check_stated_sizes(files)
        self.pairs = [replace(pair, meaning=self._meaning(pair.label)) for pair in self.pairs]
        if cache == "disk":
            self._disk = self._cached(Path(cache_folder))

    @property
    def label_values(self) -> tuple[Any, ...]:
        return ()  # the JSON files say it, label by label

    def _meaning(self, label: Path | None) -> str:
        segments = None if label is None else sorted(self._segments[label].items())
        return "" if segments is None else hashlib.sha256(repr(segments).encode()).hexdigest()[:16]

    def _check_stated_sizes(self, files: Sequence[Panoptic]) -> None:
        images = {pair.label: pair.rgb for pair in self.pairs if pair.label}
        for file in files:
            for name, size in file.sizes.items():
                if (label := file.labels.get(name)) in images:
                    check_stated_size(file.path, file.images[name], size, images[label], self.wanted.bands)

    def class_ids(self, path: Path) -> npt.NDArray[np.uint8]:
        """Class ids (H, W) by the segments of a label, 255 = ignore.

        Raises:
            DataError: the file cannot be read, or it holds a segment that the JSON does not tell.
        """
        with opened(path) as image:
            if image.format in LOSSY or image.mode not in ("RGB", "RGBA"):
                raise DataError(f"{path}: a {image.format} of mode {image.mode}; panoptic labels are RGB PNG files")
            channels = np.array(upright(image).convert("RGB")).astype(np.int32)
        segments = channels[..., 0] | channels[..., 1] << 8 | channels[..., 2] << 16
        listed = {0: IGNORE_INDEX, **self._segments[path]}
        known = np.array(sorted(listed), np.int32)
        found = np.searchsorted(known, segments).clip(max=len(known) - 1)
        unknown = segments[known[found] != segments]
        if unknown.size:
            values, pixels = np.unique(unknown, return_counts=True)
            named = name_some(
                [f"segment {i} ({pluralize(int(n), 'pixel')})" for i, n in zip(values, pixels, strict=True)]
            )
            raise DataError(f"{path}: {named} not in segments_info of its JSON file; correct either")
        return np.array([listed[int(segment)] for segment in known], np.uint8)[found]


def _read(root: Path, layout: type[CocoPanoptic]) -> list[Panoptic]:
    files = [read_panoptic(path, path.stat().st_mtime_ns) for path in panoptic_files(root)]
    if not files:
        raise DataError(f"{root}: not in the layout {layout.name}; expected {layout.expects()}")
    for file in files[1:]:
        if file.categories != files[0].categories:
            raise DataError(f"{file.path}: its categories are not those of {files[0].path.name}; take the same in both")
    return files


def _classes(files: list[Panoptic]) -> ClassList:
    """Names and colours of the categories, by id; colours that are missing differ from those that are given."""
    categories = [files[0].categories[number] for number in sorted(files[0].categories)]
    given = [color for _, color in categories if color is not None]
    spare = iter(color for color in palette(2 * len(categories)) if color not in given)
    try:
        return ClassList(tuple(name for name, _ in categories), tuple(color or next(spare) for _, color in categories))
    except DataError as error:
        raise DataError(f"{files[0].path}: categories: {error}") from error
