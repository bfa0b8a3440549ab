"""Open a box file, by its extension."""

from __future__ import annotations

from pathlib import Path

from cimnet.data.boxes.box_table import read_box_table
from cimnet.data.boxes.coco_detections import read_coco_detections
from cimnet.data.boxes.object_box import BoxFile
from cimnet.errors import DataError


def read_boxes(path: str | Path) -> BoxFile:
    """Read a box file: `.csv` (see :func:`cimnet.data.boxes.box_table.read_box_table`) or `.json`, COCO's detection
    format. Images are not read, and class names are taken as they are.

    Raises:
        DataError: another extension, a file that cannot be read, or a field that is missing or wrong; the message names
            file, row and field. Also a file without a single box.
    """
    path = Path(path)
    readers = {".csv": read_box_table, ".json": read_coco_detections}
    if path.suffix.lower() not in readers:
        raise DataError(f"{path}: boxes are read from .csv and .json (COCO detection) files; convert it to one of them")
    found = readers[path.suffix.lower()](path)
    if not found.boxes:
        raise DataError(f"{path}: holds no box; give a file with one object a row, or an annotation for each object")
    return found
