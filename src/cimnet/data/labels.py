"""Label values to class ids, always by a table, never by arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cimnet.data.classes import palette
from cimnet.data.io.facts import nodata_remedy
from cimnet.data.io.readers import Ids, Label, read_label_colours, read_label_file
from cimnet.data.io.split_lists import name_some
from cimnet.data.sample import IGNORE_INDEX
from cimnet.errors import DataError
from cimnet.utils.colors import Color, pack_rgb
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


def look_up(
    ids: Ids, lookup: npt.NDArray[np.int16], path: Path, classes: int, missing: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.uint8]:
    """Class ids (H, W) uint8 of label values; 255 where `missing`.

    Raises:
        DataError: values outside the table; it names the file, the values and their pixels.
    """
    inside = ids if ids.dtype == np.uint8 else np.clip(ids, 0, 65535)
    found = lookup[inside]
    outside = (found < 0) | (inside != ids)
    if missing is not None:
        found[missing], outside = IGNORE_INDEX, outside & ~missing
    if outside.any():
        values, pixels = np.unique(ids[outside], return_counts=True)
        named = name_some([f"id {i} ({pluralize(int(n), 'pixel')})" for i, n in zip(values, pixels, strict=True)])
        raise DataError(
            f"{path}: {named} outside the {pluralize(classes, 'class', 'classes')} 0..{classes - 1} (and not 255, "
            "ignore); correct the label, the class list, label_table or ignore_index"
        )
    return found.astype(np.uint8)


def read_class_ids(
    path: Path, lookup: npt.NDArray[np.int16], colors: Sequence[Color], *, by_colour: bool = False
) -> npt.NDArray[np.uint8]:
    """Class ids (H, W) uint8 of a label file whose values `lookup` tells, 255 = ignore. Ids may be stored as
    three equal channels.

    Args:
        colors: of the classes.
        by_colour: a palette may say that values are not the ids, see `ids_by_palette`.

    Raises:
        DataError: the file cannot be read, holds a value outside the table, or contradicts itself.
    """
    label = read_label_file(path, grey=True)
    missing = missing_pixels(label, lookup, path)
    if by_colour:
        label = ids_by_palette(label, colors, path)
    return look_up(label.ids, lookup, path, len(colors), missing)


def read_stored_ids(path: Path) -> Ids:
    """Values (H, W) of a label file for which there is no class list, as stored; 255 = ignore where the file declares
    them as nodata.

    Raises:
        DataError: the file cannot be read, or contradicts itself.
    """
    label = read_label_file(path, grey=True)
    missing = missing_pixels(label, None, path)
    return label.ids if missing is None else np.where(missing, IGNORE_INDEX, label.ids)


def missing_pixels(label: Label, lookup: npt.NDArray[np.int16] | None, path: Path) -> npt.NDArray[np.bool_] | None:
    """Mark the pixels of a label (H, W) with the value that its file declares as nodata: they are ignored. None if
    there are none.

    Raises:
        DataError: that value is a class's by `lookup`: background that a GIS left out, or a class that was never meant
            so.
    """
    value = label.nodata
    if value is None or value != value // 1:
        return None
    missing = label.ids == int(value)
    if not missing.any():
        return None
    meaning = int(lookup[int(value)]) if lookup is not None and 0 <= value < len(lookup) else -1
    if 0 <= meaning < IGNORE_INDEX:
        raise DataError(
            f"{path}: declares {int(value)} as nodata, which is also the value of class {meaning}; say "
            f"`ignore_index: {int(value)}` in classes.yaml, or {nodata_remedy(path)}"
        )
    return missing


def ids_by_palette(label: Label, colors: Sequence[Color], path: Path) -> Label:
    """A label whose values are class ids: where the palette gives every value that occurs the colour of a class, ids
    are those classes, whatever the index; otherwise the values.

    Raises:
        DataError: some values have the colour of another class, some none: the palette contradicts the class list.
    """
    if label.palette is None or label.ids.size == 0:
        return label
    of_color = {color: class_id for class_id, color in enumerate(colors)}
    used = [int(value) for value in np.unique(label.ids) if value != IGNORE_INDEX]
    known = [value for value in used if value < len(label.palette)]
    if len(of_color) < len(colors) or not known or len(known) < len(used) or _meaningless(label.palette):
        return label
    meant = {value: of_color.get(tuple(label.palette[value].tolist())) for value in known}
    chosen = tuple(colors) != palette(len(colors))
    if not chosen and not set(of_color) <= set(map(tuple, label.palette.tolist())):
        return label  # nobody chose these colours, and the palette has others
    moved = {value: found for value, found in meant.items() if found is not None and found != value}
    if not moved:
        return label
    strange = {value: label.palette[value] for value, found in meant.items() if found is None}
    if not strange:
        table = np.arange(256, dtype=np.uint8)
        for value, found in meant.items():
            assert found is not None
            table[value] = found
        return Label(table[label.ids], None, label.nodata)
    value, found = next(iter(moved.items()))
    other, color = next(iter(strange.items()))
    raise DataError(
        f"{path}: its palette contradicts the class list: value {value} has the colour of class {found}, value {other} "
        f"has #{bytes(color.tolist()).hex()}, the colour of none; correct the colours in classes.yaml, or say "
        "`label_table` there for values that are meant as they are"
    )


def _meaningless(colors: npt.NDArray[np.uint8]) -> bool:
    """Whether a palette has one colour alone."""
    return len(colors) > 1 and bool((colors == colors[0]).all())


def is_binary_mask(values: Iterable[int]) -> bool:
    """Whether the values of label files that hold class ids are those of masks from labelling tools: 0 for background
    and 255 for the object, which would mean "ignore"."""
    return set(values) == {0, IGNORE_INDEX}


def binary_mask_fault(classes: Sequence[str]) -> str:
    """Describe the fault of labels for which `is_binary_mask` holds."""
    meant = f"there is no pixel of {name_some(classes[1:], 4)}" if classes[1:] else f"the background is {classes[0]}"
    return (
        "labels hold 0 and 255 alone, as labelme, Label Studio, CVAT and Fiji write masks; 255 means ignore here, so "
        f"{meant}"
    )


def binary_mask_remedy(classes: Sequence[str]) -> str:
    """Return the lines to write if `is_binary_mask` holds."""
    if len(classes) == 1:
        return (
            f"write `classes: [background, {classes[0]}]` and `label_table: {{0: background, 255: {classes[0]}}}` into "
            f"classes.yaml (`label_table: {{0: {classes[0]}, 255: ignore}}`, if that is meant)"
        )
    return (
        f"write `label_table: {{0: {classes[0]}, 255: {classes[1]}}}` into classes.yaml, beside classes "
        f"(255: ignore, if that is meant; {{255: {classes[0]}, 0: {classes[1]}}}, if 1 was subtracted from 8-bit ids)"
    )


def ignore_color(colors: Sequence[Color]) -> Color:
    """The colour that means "ignore" in labels in colours: a light grey, or one near it that no class has."""
    return next((v, v, v) for v in range(224, -1, -1) if (v, v, v) not in colors)


def read_color_label(path: Path, colors: Sequence[Color]) -> npt.NDArray[np.uint8]:
    """Class ids (H, W) uint8 of a label in the classes' colours; 255 where it has `ignore_color`, or the value that the
    file declares as nodata.

    Raises:
        DataError: the file cannot be decoded or is lossy (JPEG); it holds a colour that no class has, whose pixels are
            counted; or what it declares as nodata has the colour of a class.
    """
    values, missing = read_label_colours(path)
    packed = pack_rgb(values)
    ids = np.full(packed.shape, -1, np.int16)
    for class_id, color in [*enumerate(colors), (IGNORE_INDEX, ignore_color(colors))]:
        ids[packed == pack_rgb(np.array(color, np.uint8))] = class_id
    if missing is not None and missing.any():
        meant = int(ids[missing].max())
        if 0 <= meant < IGNORE_INDEX:
            shown, ignored = (bytes(color).hex() for color in (colors[meant], ignore_color(colors)))
            raise DataError(
                f"{path}: declares #{shown} as nodata, which is also the colour of class {meant}; paint what is to be "
                f"ignored #{ignored}, or {nodata_remedy(path)}"
            )
        ids[missing] = IGNORE_INDEX
    if ids.min() < 0:
        values, pixels = np.unique(packed[ids < 0], return_counts=True)
        found = [f"#{v:06x} ({pluralize(int(n), 'pixel')})" for v, n in zip(values, pixels, strict=True)]
        raise DataError(f"{path}: {name_some(found)} is the colour of no class; correct the label or the colours")
    return ids.astype(np.uint8)
