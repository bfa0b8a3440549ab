"""Write tasks for CVAT ("Segmentation mask 1.1"), with the thermal image as context, and read its exports."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from cimnet.curation.label.pictures import LabelTask, png
from cimnet.curation.label.tool_classes import ToolClasses
from cimnet.curation.label.zips import Entries
from cimnet.errors import DataError
from cimnet.utils.colors import Color
from cimnet.utils.files import write_text

LABEL_MAP = "labelmap.txt"
_LISTS, _MASKS = "ImageSets/Segmentation/", "SegmentationClass/"
_BACKGROUND = "background"


def write_cvat(folder: Path, tasks: Sequence[LabelTask], known: ToolClasses, out: Path) -> list[str]:
    """Write ``images.zip`` (the task's images, related_images beside them), ``annotations.zip`` and ``labels.json``.

    Returns:
        Their names.

    Raises:
        DataError: a class name that the tool's table of labels cannot hold.
    """
    for name in known.names:
        if ":" in name or name == _BACKGROUND:
            raise DataError(f"class {name!r}: CVAT's {LABEL_MAP} cannot hold this name; rename it without a colon")
    labels = [
        {"name": name, "color": f"#{red:02x}{green:02x}{blue:02x}", "attributes": []}
        for name, (red, green, blue) in zip(known.names, known.colors, strict=True)
    ]
    write_text(folder / "labels.json", json.dumps(labels, indent=2, ensure_ascii=False) + "\n")
    with zipfile.ZipFile(folder / "images.zip", "w", zipfile.ZIP_STORED) as images:
        for task in tasks:
            rgb, thermal, _ = task.pictures()
            images.writestr(f"{task.name}.png", rgb)
            images.writestr(f"related_images/{task.name}_png/{task.name}_thermal.png", thermal)
    if all(task.mask is None for task in tasks):
        return ["images.zip", "labels.json"]
    with zipfile.ZipFile(folder / "annotations.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(LABEL_MAP, _label_map(known))
        with_masks = [task for task in tasks if task.mask is not None]
        file.writestr("ImageSets/Segmentation/default.txt", "".join(f"{task.name}\n" for task in with_masks))
        for task in with_masks:
            assert task.mask is not None
            classes, objects = _paint(task.mask, known)
            file.writestr(f"SegmentationClass/{task.name}.png", png(classes))
            file.writestr(f"SegmentationObject/{task.name}.png", png(objects))
    return ["images.zip", "labels.json", "annotations.zip"]


def _label_map(known: ToolClasses) -> str:
    lines = ["# label:color_rgb:parts:actions", f"{_BACKGROUND}:0,0,0::"]
    lines += [f"{name}:{','.join(map(str, color))}::" for name, color in zip(known.names, known.colors, strict=True)]
    return "\n".join(lines) + "\n"


def _paint(mask: npt.NDArray[np.uint8], known: ToolClasses) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Colours of the classes, and of the pieces that hang together: in CVAT each is a mask of its own."""
    classes = np.zeros((*mask.shape, 3), np.uint8)
    objects = np.zeros((*mask.shape, 3), np.uint8)
    number = 0
    for k, color in zip(known.ids, known.colors, strict=True):
        pieces, count = ndimage.label(mask == k)
        classes[mask == k] = color
        for piece in range(1, count + 1):
            number += 1
            objects[pieces == piece] = _object_color(number)
    return classes, objects


def _object_color(number: int) -> Color:
    """The colour of the n-th object in Pascal VOC: the bits of n, dealt to red, green and blue from the top."""
    red = green = blue = 0
    for bit in range(8):
        red |= (number >> 3 * bit & 1) << 7 - bit
        green |= (number >> 3 * bit + 1 & 1) << 7 - bit
        blue |= (number >> 3 * bit + 2 & 1) << 7 - bit
    return red, green, blue


def is_cvat(entries: Entries) -> bool:
    """Whether a zip or folder is an export in "Segmentation mask 1.1"."""
    return LABEL_MAP in entries.names


def read_cvat(entries: Entries, known: ToolClasses) -> Iterator[tuple[str, npt.NDArray[np.uint8] | None]]:
    """File name (without extension) and class ids (H, W) of each image; None: nothing is painted on it.

    Raises:
        DataError: labels that are no classes of the data set, or a colour that is no label's.
    """
    by_color = _read_label_map(entries, known)
    found = [name[len(_MASKS) : -len(".png")] for name in entries.names if re.fullmatch(f"{_MASKS}.+\\.png", name)]
    bare = sorted(_listed(entries).difference(found))
    if not found and not bare:
        raise DataError(f'{entries.path}: no masks in {_MASKS}; export as "Segmentation mask 1.1"')
    table = np.full(1 << 24, -1, np.int16)
    for (red, green, blue), class_id in by_color.items():
        table[red << 16 | green << 8 | blue] = class_id
    for name in found:
        colors = entries.image(f"{_MASKS}{name}.png").astype(np.int32)
        ids = table[colors[..., 0] << 16 | colors[..., 1] << 8 | colors[..., 2]]
        if (ids < 0).any():
            y, x = np.argwhere(ids < 0)[0]
            raise DataError(
                f"{entries.path}: {_MASKS}{name}.png: the colour {tuple(colors[y, x].tolist())} at x {x}, y {y} is no "
                f"label's in {LABEL_MAP}; export again, without changing the images"
            )
        yield name, ids.astype(np.uint8)
    yield from ((name, None) for name in bare)


def _listed(entries: Entries) -> set[str]:
    """The images of an export: it lists those without a mask, too."""
    lists = [name for name in entries.names if name.startswith(_LISTS) and name.endswith(".txt")]
    return {line.strip() for name in lists for line in entries.text(name).splitlines()} - {""}


def _read_label_map(entries: Entries, known: ToolClasses) -> dict[Color, int]:
    ids = dict(zip(known.names, known.ids, strict=True)) | {_BACKGROUND: known.unpainted}
    found: dict[Color, int] = {}
    for line in entries.text(LABEL_MAP).splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        try:
            red, green, blue = (int(part) for part in rest.split(":")[0].split(","))
        except ValueError as error:
            raise DataError(f"{entries.path}: {LABEL_MAP}: {line!r} is not name:red,green,blue::") from error
        if name not in ids:
            raise DataError(
                f"{entries.path}: the label {name!r} is no class of the data set ({', '.join(known.names)}); rename it "
                "in CVAT, or add it to classes.yaml"
            )
        found[red, green, blue] = ids[name]
    return found
