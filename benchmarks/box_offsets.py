"""How far thermal lies from RGB by people's boxes, and by what `cimnet data align` found: medians over objects.

    cimnet data align data/msrs-real data/registered --per-pair
    python benchmarks/box_offsets.py data/msrs-real data/msrs-real/sensor-boxes/objects.csv \
        --alignment data/registered/alignment.json

Only objects with a rectangle in either image count. A matrix is asked where it leads the middle of the RGB rectangle;
what it leaves over in the rows around (`left_over`) is added in a column of its own. With --objects each object is also
looked for on its own (`object_offsets`), with its RGB rectangle as mask and the matrix of its pair.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cimnet.data import find_layout
from cimnet.data.boxes import ObjectBox, Rect, read_boxes
from cimnet.data.io.patterns import FileIndex
from cimnet.data.io.split_lists import parse_names, scenes_of
from cimnet.data.io.thermal_files import read_pair
from cimnet.registration.objects import object_offsets
from cimnet.utils.tables import markdown_table

Offset = tuple[float, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("boxes", type=Path)
    parser.add_argument("--alignment", type=Path, help="alignment.json of a registered copy")
    parser.add_argument("--objects", action="store_true", help="look for each object on its own, too")
    options = parser.parse_args()
    found = json.loads(options.alignment.read_text(encoding="utf-8")) if options.alignment else {}
    index = find_layout(options.data).index(options.data)
    boxes = [box for box in read_boxes(options.boxes).boxes if box.rgb and box.thermal and not box.ignore]
    names = [index.resolve(parse_names(box.image)[0]) for box in boxes]
    scenes = [box.scene or scene for box, scene in zip(boxes, scenes_of(options.data, "all", names, str), strict=True)]
    groups: dict[tuple[str, str], list[tuple[ObjectBox, str]]] = {}
    for box, name, scene in zip(boxes, names, scenes, strict=True):
        groups.setdefault((box.class_name, scene), []).append((box, name))
    single = {}
    for name in sorted(set(names)) if options.objects else ():
        mine = [box for box, its in zip(boxes, names, strict=True) if its == name]
        single |= single_objects(index, name, found["pairs"][name]["matrix"], mine)
    print(table(groups, found, single))


def single_objects(
    index: FileIndex, name: str, matrix: list[list[float]] | None, boxes: Sequence[ObjectBox]
) -> dict[str, Offset]:
    """Offsets of the objects of a pair by their place in the box file, of those that are found."""
    if matrix is None or index.thermal is None:
        return {}
    rgb, thermal = read_pair(index.rgb.files[name], index.thermal.files[name])
    label = np.zeros(rgb.shape[:2], np.int64)
    for number, box in enumerate(boxes, start=1):
        assert box.rgb is not None
        label[box.rgb.clipped(*rgb.shape[:2]).pixels] = number
    seen = object_offsets(rgb, thermal, label, range(1, len(boxes) + 1), np.array(matrix))
    return {boxes[o.class_id - 1].place: (o.dx, o.dy) for o in seen if o.dx is not None and o.dy is not None}


def table(
    groups: dict[tuple[str, str], list[tuple[ObjectBox, str]]], found: dict[str, Any], single: dict[str, Offset]
) -> str:
    """Markdown: a row for each class and scene, (dx, dy) in pixels."""
    columns: dict[str, Callable[[ObjectBox, str], Offset | None]] = {"boxes": lambda box, _: middle_offset(box)}
    if found.get("rig"):
        columns["one matrix"] = lambda box, _: by_matrix(found["rig"]["matrix"], box)
        columns["with what it leaves over"] = lambda box, _: with_left_over(found, box)
    if found.get("pairs"):
        columns["pair by pair"] = lambda box, name: by_matrix(found["pairs"][name]["matrix"], box)
    if single:
        columns["single objects"] = lambda box, _: single.get(box.place)
        columns["boxes of those"] = lambda box, _: middle_offset(box) if box.place in single else None
    rows = []
    for (class_name, scene), members in sorted(groups.items()):
        cells = []
        for ask in columns.values():
            known = [offset for box, name in members if (offset := ask(box, name)) is not None]
            cells.append(f"{median(known)} ({len(known)})")
        rows.append([class_name, scene, edge_offsets([box for box, _ in members]), *cells])
    return markdown_table(["class", "scene", "boxes: top, bottom", *columns], rows, "llr")


def middle_offset(box: ObjectBox) -> Offset:
    """Between the middles of the two rectangles."""
    (x, y), (u, v) = middle(box.rgb), middle(box.thermal)
    return u - x, v - y


def edge_offsets(boxes: Sequence[ObjectBox]) -> str:
    """Medians of how much lower the upper and the lower edges lie."""
    pairs = [(box.rgb.edges, box.thermal.edges) for box in boxes if box.rgb and box.thermal]
    return ", ".join(f"{statistics.median(thermal[k] - rgb[k] for rgb, thermal in pairs):.1f}" for k in (1, 3))


def by_matrix(matrix: list[list[float]] | None, box: ObjectBox) -> Offset | None:
    """Where a matrix sees the middle of the RGB rectangle; None where none was found."""
    if matrix is None:
        return None
    x, y = middle(box.rgb)
    u, v = np.array(matrix) @ [x, y, 1]
    return float(u - x), float(v - y)


def with_left_over(found: dict[str, Any], box: ObjectBox) -> Offset | None:
    """The matrix of the cameras, and what it leaves over in the rows of the box's middle."""
    offset, row = by_matrix(found["rig"]["matrix"], box), middle(box.rgb)[1]
    band = next((band for band in found["left_over"] if band["top"] <= row < band["bottom"] + 1), None)
    if offset is None or band is None or band["dx"] is None:
        return offset
    return offset[0] + band["dx"], offset[1] + band["dy"]


def middle(rect: Rect | None) -> Offset:
    """Of a rectangle that is there."""
    assert rect is not None
    return (rect.x0 + rect.x1) / 2, (rect.y0 + rect.y1) / 2


def median(offsets: Sequence[Offset]) -> str:
    """Of dx and of dy."""
    if not offsets:
        return "–"
    return ", ".join(f"{statistics.median(offset[k] for offset in offsets):.1f}" for k in (0, 1))


if __name__ == "__main__":
    main()
