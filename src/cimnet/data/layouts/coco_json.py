"""The JSON files of COCO's panoptic format, whoever wrote them."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from cimnet.data.coco_ids import by_id
from cimnet.data.coco_sizes import stated_size
from cimnet.data.io.split_lists import IMAGE_EXTENSIONS
from cimnet.errors import DataError, one_line
from cimnet.utils.colors import Color

_MARK = "panoptic_"


@dataclass(frozen=True)
class Panoptic:
    """The content of a panoptic JSON file.

    Attributes:
        path, split, folder: the file, its split, and the folder of its PNG files.
        images: file name by pair, as the JSON names the RGB image.
        sizes: (height, width) by pair, for those that have one in the JSON.
        labels: PNG file by pair, for those that have one.
        segments: category by segment, of each PNG file.
        categories: name and colour by category.
    """

    path: Path
    split: str
    folder: Path
    images: dict[str, str]
    sizes: dict[str, tuple[int, int]]
    labels: dict[str, Path]
    segments: dict[Path, dict[int, int]]
    categories: dict[int, tuple[str, Color | None]]


def panoptic_files(root: Path) -> list[Path]:
    """`panoptic_SPLIT.json` (anything may stand before it) in the root or in annotations/, sorted."""
    return sorted(path for folder in (root, root / "annotations") for path in folder.glob(f"*{_MARK}*.json"))


@lru_cache(maxsize=8)
def read_panoptic(path: Path, _changed: int) -> Panoptic:
    """Read a JSON file; `_changed`: its time of change, so that a file is read again only after a change.

    Raises:
        DataError: not JSON, a field that is missing or of the wrong type, an id that stands for two things, or a file
            name that leads elsewhere.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({one_line(error, 120)})") from error
    try:
        return _parse(content, path)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"no field {error}" if isinstance(error, KeyError) else one_line(error, 120)
        raise DataError(
            f"{path}: not COCO's panoptic format ({reason}); give images, annotations, categories"
        ) from error


@dataclass(frozen=True, repr=False)
class _Annotation:
    """The label of an image: its file, and category by segment; `place`: as errors name it."""

    place: str = field(compare=False)
    label: Path
    segments: dict[int, int]

    def __repr__(self) -> str:
        return self.place


def _parse(content: Any, path: Path) -> Panoptic:
    folder = path.with_suffix("")
    named = [(int(entry["id"]), (str(entry["name"]), _color(entry))) for entry in content["categories"]]
    categories = by_id(path, "categories: id", named)
    names = by_id(path, "images: id", [(entry["id"], _inside(entry["file_name"], path)) for entry in content["images"]])
    images = by_id(path, "images: the name", [(_pair(name), name) for name in names.values()], "rename one")
    stated = {_pair(entry["file_name"]): stated_size(path, entry) for entry in content["images"]}
    sizes = {name: size for name, size in stated.items() if size is not None}
    annotations = []
    for number, entry in enumerate(content["annotations"], 1):
        if entry["image_id"] not in names:
            raise DataError(f"{path}: an annotation of image {entry['image_id']!r}, which is not among the images")
        annotations.append((_pair(names[entry["image_id"]]), _annotation(entry, number, path, categories)))
    of_pair = by_id(path, "annotations: the image", annotations, "keep one")
    files = [(its.label.relative_to(folder).as_posix(), its) for its in of_pair.values()]
    of_label = by_id(path, "annotations: the label", files, "keep one")
    return Panoptic(
        path,
        split=path.stem.rpartition(_MARK)[2],
        folder=folder,
        images=images,
        sizes=sizes,
        labels={name: its.label for name, its in of_pair.items()},
        segments={its.label: its.segments for its in of_label.values()},
        categories=categories,
    )


def _annotation(entry: Any, number: int, path: Path, categories: Collection[int]) -> _Annotation:
    name = _inside(entry["file_name"], path)
    place = f"annotation {number} (image_id {entry['image_id']!r}, {name!r})"
    told = [(int(info["id"]), int(info["category_id"])) for info in entry["segments_info"]]
    segments = by_id(path, f"{place}: segments_info: id", told)
    unknown = set(segments.values()) - set(categories)
    if unknown:
        raise DataError(f"{path}: {name}: category_id {min(unknown)} is not among the categories")
    return _Annotation(place, path.with_suffix("") / name, segments)


def _color(category: Any) -> Color | None:
    if "color" not in category:
        return None
    red, green, blue = (int(value) for value in category["color"])
    return red, green, blue


def _inside(name: Any, path: Path) -> str:
    if not isinstance(name, str) or name.startswith(("/", "\\")) or ".." in PurePosixPath(name).parts or ":" in name:
        raise DataError(f"{path}: file_name {name!r} is not a path inside the data set")
    return name


def _pair(file_name: str) -> str:
    """The name that a pair goes by."""
    name, dot, extension = unicodedata.normalize("NFC", file_name.removeprefix("rgb/")).rpartition(".")
    return name if f".{extension.lower()}" in IMAGE_EXTENSIONS else f"{name}{dot}{extension}"
