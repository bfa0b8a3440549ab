"""Boxes in COCO's detection format: one JSON file with images, annotations and categories."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cimnet.data.boxes.object_box import MOST_PIXELS, SEEN_IN, BoxFile, ObjectBox, Rect
from cimnet.data.coco_ids import by_id
from cimnet.data.coco_sizes import stated_size
from cimnet.errors import DataError, one_line


def read_coco_detections(path: Path) -> BoxFile:
    """Boxes of a JSON file. `bbox` is left, top, width, height; `iscrowd: 1` marks a region that is not scored.
    `seen_in` may stand in an annotation or in its `attributes`, as CVAT writes them. The images listed are those that
    were annotated; `width` and `height` of an image are kept where they are given.

    Raises:
        DataError: not JSON, or a field that is missing or wrong; the message names the annotation or the image.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({one_line(error, 120)}); export it again") from error
    try:
        names = by_id(path, "images: id", [(entry["id"], str(entry["file_name"])) for entry in content["images"]])
        named = [(entry["id"], str(entry["name"])) for entry in content["categories"]]
        categories = by_id(path, "categories: id", named)
        stated = [(str(entry["file_name"]), stated_size(path, entry)) for entry in content["images"]]
        entries = list(content["annotations"])
    except (KeyError, TypeError, AttributeError) as error:
        reason = f"no field {error}" if isinstance(error, KeyError) else one_line(error, 120)
        raise DataError(
            f"{path}: not COCO's detection format ({reason}); give images, annotations and categories"
        ) from error
    boxes = tuple(_box(path, number, entry, names, categories) for number, entry in enumerate(entries, 1))
    sizes = tuple((name, size) for name, size in stated if size is not None)
    return BoxFile(path, boxes, frozenset(names.values()), sizes)


def _box(
    path: Path, number: int, entry: Any, names: Mapping[Any, str], categories: Mapping[Any, str]
) -> ObjectBox:  # fmt: skip
    place = f"annotation {entry.get('id', number) if isinstance(entry, dict) else number}"
    if not isinstance(entry, dict):
        raise DataError(f"{path}: {place}: {entry!r} is no mapping with image_id, category_id and bbox; correct it")
    for field, known, what in (("image_id", names, "images"), ("category_id", categories, "categories")):
        value = entry.get(field)
        if isinstance(value, dict | list) or value not in known:
            raise DataError(f"{path}: {place}: {field} {value!r} is not among the {what}; correct it or add it there")
    bbox = entry.get("bbox")
    numbers = isinstance(bbox, list) and all(
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MOST_PIXELS for value in bbox
    )
    if not isinstance(bbox, list) or not numbers or len(bbox) != 4:
        raise DataError(f"{path}: {place}: bbox is {bbox!r}; write [left, top, width, height] in pixels")
    x, y, width, height = bbox
    attributes = entry.get("attributes")
    more = attributes if isinstance(attributes, dict) else {}
    seen_in: Any = entry.get("seen_in") or more.get("seen_in") or ""  # null: not said
    if seen_in not in (*SEEN_IN, ""):
        raise DataError(f"{path}: {place}: seen_in is {seen_in!r}; write one of {', '.join(SEEN_IN)}, or leave it out")
    return ObjectBox(
        place=place,
        image=names[entry["image_id"]],
        class_name=categories[entry["category_id"]],
        rgb=Rect(x, y, x + width, y + height),
        thermal=None,
        seen_in=seen_in,
        scene=str(entry.get("scene") or more.get("scene") or ""),
        ignore=bool(entry.get("iscrowd", 0)),
    )
