"""The JSON file of COCO's panoptic format, written; :mod:`cimnet.data.layouts.coco_json` reads it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from cimnet.curation.convert.writers import Written
from cimnet.data.classes import ClassList


def panoptic_json(classes: ClassList, written: Sequence[Written], about: dict[str, str]) -> str:
    """The text of a JSON file for pairs of one split: category and segment of a class are its id + 1."""
    pairs = list(enumerate(written, start=1))
    content = {
        "info": about,
        "images": [
            {"id": number, "file_name": pair.rgb.removeprefix("rgb/"), "height": pair.size[0], "width": pair.size[1]}
            for number, pair in pairs
        ],
        "annotations": [
            {"image_id": number, "file_name": f"{pair.place.name}.png", "segments_info": _infos(pair)}
            for number, pair in pairs
            if pair.segments is not None
        ],
        "categories": [
            {"id": class_id + 1, "name": name, "isthing": 0, "color": list(color)}
            for class_id, (name, color) in enumerate(zip(classes.names, classes.colors, strict=True))
        ],
    }
    return json.dumps(content, ensure_ascii=False)


def _infos(pair: Written) -> list[dict[str, Any]]:
    return [
        {"id": segment.id, "category_id": segment.id, "area": segment.pixels, "bbox": list(segment.box), "iscrowd": 0}
        for segment in pair.segments or []
    ]
