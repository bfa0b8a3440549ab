"""Label values to class ids, always by a table, never by arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cimnet.data.io.readers import LOSSY, Ids, opened, upright
from cimnet.data.io.split_lists import name_some
from cimnet.data.sample import IGNORE_INDEX
from cimnet.errors import DataError
from cimnet.utils.colors import Color
from cimnet.utils.numbers import pluralize


def label_lookup(table: dict[int, int] | None, classes: int, ignore_id: int = IGNORE_INDEX) -> npt.NDArray[np.int16]:
    """(65536,) class id by value in a label file, -1 for values outside the table; without a table values are ids.
    `ignore_id` means ignore, and so does 255 unless the table says otherwise."""
    lookup = np.full(65536, -1, np.int16)
    for value, class_id in (table if table is not None else {i: i for i in range(classes)}).items():
        lookup[value] = class_id
    if lookup[IGNORE_INDEX] < 0:
        lookup[IGNORE_INDEX] = IGNORE_INDEX
    if ignore_id != IGNORE_INDEX:
        lookup[ignore_id] = IGNORE_INDEX
    return lookup


def look_up(ids: Ids, lookup: npt.NDArray[np.int16], path: Path, classes: int) -> npt.NDArray[np.uint8]:
    """Class ids (H, W) uint8 of label values.

    Raises:
        DataError: values outside the table; it names the file, the values and their pixels.
    """
    inside = ids if ids.dtype == np.uint8 else np.clip(ids, 0, 65535)
    found = lookup[inside]
    outside = (found < 0) | (inside != ids)
    if outside.any():
        values, pixels = np.unique(ids[outside], return_counts=True)
        named = name_some([f"id {i} ({pluralize(int(n), 'pixel')})" for i, n in zip(values, pixels, strict=True)])
        raise DataError(
            f"{path}: {named} outside the {pluralize(classes, 'class', 'classes')} 0..{classes - 1} (and not 255, "
            "ignore); correct the label, the class list, label_table or ignore_index"
        )
    return found.astype(np.uint8)


def ignore_color(colors: Sequence[Color]) -> Color:
    """The colour that means "ignore" in labels in colours: a light grey, or one near it that no class has."""
    return next((v, v, v) for v in range(224, -1, -1) if (v, v, v) not in colors)


def read_color_label(path: Path, colors: Sequence[Color]) -> npt.NDArray[np.uint8]:
    """Class ids (H, W) uint8 of a label in the classes' colours; 255 where it has `ignore_color`.

    Raises:
        DataError: the file cannot be decoded or is lossy (JPEG), or it holds a colour that no class has; it names the
            colour and the number of pixels.
    """
    with opened(path) as image:
        if image.format in LOSSY:
            raise DataError(f"{path}: JPEG changes colours; save labels as PNG")
        rgb = np.array(upright(image).convert("RGB"))
    packed = _pack(rgb)
    ids = np.full(packed.shape, -1, np.int16)
    for class_id, color in [*enumerate(colors), (IGNORE_INDEX, ignore_color(colors))]:
        ids[packed == _pack(np.array(color, np.uint8))] = class_id
    if ids.min() < 0:
        values, pixels = np.unique(packed[ids < 0], return_counts=True)
        found = [f"#{v:06x} ({pluralize(int(n), 'pixel')})" for v, n in zip(values, pixels, strict=True)]
        raise DataError(f"{path}: {name_some(found)} is the colour of no class; correct the label or the colours")
    return ids.astype(np.uint8)


def _pack(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    red, green, blue = (rgb[..., channel].astype(np.int32) for channel in range(3))
    return red << 16 | green << 8 | blue
