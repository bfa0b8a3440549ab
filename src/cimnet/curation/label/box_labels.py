"""Weak labels from boxes: each box becomes pixels of its class, whole or by the contrast inside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from cimnet.curation.label.label_files import LabelFiles, Written
from cimnet.data import open_dataset
from cimnet.data.boxes import PairBox, boxes_of_pairs, read_boxes
from cimnet.data.io.split_lists import ALL
from cimnet.data.pairs import Arrays
from cimnet.data.sample import IGNORE_INDEX
from cimnet.errors import DataError
from cimnet.utils.pool import Progress

Fill = Literal["box", "otsu"]
OUTSIDE = ("ignore", "keep")
"""What may stand outside the boxes, beside a class."""
LEAST_FILL, MOST_FILL = 0.1, 0.9
"""Share of a box that an object found by contrast may take; beyond it the contrast is taken for noise."""
Mask = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class BoxLabels(Written):
    """The label files written, and the number of objects drawn from boxes.

    Attributes:
        objects: number of boxes that became pixels.
        whole: number of these that were filled as a whole because they lack contrast.
    """

    objects: int
    whole: int


def label_from_boxes(
    root: str | Path,
    boxes: str | Path,
    *,
    split: str = ALL,
    fill: Fill = "otsu",
    outside: str = "ignore",
    overwrite: bool = False,
    classes: str | Sequence[str] | None = None,
    class_map: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> BoxLabels:
    """Write label files made from boxes into a data set of the layout ``folder``: all of them, or none.

    Larger objects are painted first, so that a person in front of a car stays a person. In a box that is filled by
    contrast, pixels that are not the object are ignored; with ``outside`` "keep" they get what the label says. Regions
    that are not scored are ignored, too. Labels have the size of the images as stored, with the border that the data
    set cuts off when it reads them.

    Args:
        root: the data set's folder.
        boxes: file of boxes, see :func:`cimnet.data.boxes.read_boxes`.
        split: pairs to label, as in :func:`cimnet.open_dataset`. Default: all.
        fill: "box": all pixels of a box. "otsu": those on the object's side of Otsu's threshold inside the box, in the
            thermal image, or in the RGB image if the object is seen in RGB alone. A box without such a contrast is
            filled as a whole.
        outside: what pixels outside the boxes become: "ignore" (255), the name of a class, or "keep": what the pair's
            label says. With "ignore" and "keep", pairs without a box are left alone.
        overwrite: whether to replace existing labels that differ.
        classes: as in :func:`cimnet.open_dataset`.
        class_map: class names of the boxes to class names of the data set, as in
            :func:`cimnet.data.boxes.boxes_of_pairs`.
        progress: called with the number of finished pairs and the total.

    Raises:
        DataError: boxes cannot be used, a class or way to fill is unknown, no pair has a box, or a pair has no label to
            keep.
        CimnetError: existing labels differ, or labels cannot be written.
    """
    if fill not in get_args(Fill):
        raise DataError(f"fill is {fill!r}; give one of {', '.join(get_args(Fill))}")
    file = read_boxes(boxes)
    dataset = open_dataset(root, split, layout="folder", classes=classes, require_labels=False)
    dataset.file = replace(dataset.file, border=(0, 0, 0, 0))  # files are written, which hold the border
    labels = LabelFiles(dataset)
    ground = _ground(outside, dataset.classes)
    found = boxes_of_pairs(file, dataset, class_map)
    chosen = [name for name in found.annotated if outside not in OUTSIDE or name in found.by_pair]
    if not found.by_pair:
        raise DataError(f"{file.path}: no box of a pair of the split {split!r} of {dataset.root}; give the right split")
    pairs = {pair.id: pair for pair in dataset.pairs}
    objects = whole = 0
    for done, name in enumerate(chosen, start=1):
        pair = pairs[name]
        arrays = dataset.decode(pair)
        if ground is None and arrays.label is None:
            raise DataError(
                f"{dataset.root}: {name} has no label to keep outside its boxes; give another --outside, or a split "
                "whose pairs have labels"
            )
        mine = found.by_pair.get(name, ())
        mask, filled_whole = paint_boxes(arrays, mine, fill, ground)
        objects += sum(not box.ignore for box in mine)
        whole += filled_whole
        labels.add(pair, mask)
        if progress is not None:
            progress(done, len(chosen))
    return BoxLabels(**vars(labels.write(overwrite)), objects=objects, whole=whole)


def paint_boxes(arrays: Arrays, boxes: Sequence[PairBox], fill: Fill, ground: int | None) -> tuple[Mask, int]:
    """A label (H, W) from the boxes of a pair.

    Args:
        ground: the class id outside the boxes; None: what the pair's label says, which must be there.

    Returns:
        The label, and how many boxes were filled as a whole for want of contrast.
    """
    if ground is None:
        assert arrays.label is not None
        mask = arrays.label.copy()
    else:
        mask = np.full(arrays.rgb.shape[:2], ground, dtype=np.uint8)
    whole = 0
    for box in boxes:
        if box.ignore or ground is not None:  # what the contrast leaves out is not known
            mask[box.rect.pixels] = IGNORE_INDEX
    for box in sorted(boxes, key=lambda box: -box.rect.area):
        if box.ignore or box.class_id is None:
            continue
        part = mask[box.rect.pixels]
        chosen = None if fill == "box" else _object_pixels(_values(arrays, box))
        whole += chosen is None and fill != "box"
        part[slice(None) if chosen is None else chosen] = box.class_id
    return mask, whole


def otsu_threshold(values: npt.NDArray[np.float32]) -> float:
    """The threshold that separates values best in two groups (Otsu, IEEE Trans. SMC 9, 1979), by a histogram of 256
    bins; values above it form the upper group. The highest value where all are the same."""
    counts, edges = np.histogram(values, bins=256)
    centres = (edges[:-1] + edges[1:]) / 2
    below, total = np.cumsum(counts), counts.sum()
    sums = np.cumsum(counts * centres)
    between = (sums[-1] * below - total * sums) ** 2 / np.maximum(below * (total - below), 1)
    return float(values.max()) if values.min() == values.max() else float(edges[int(between.argmax()) + 1])


def _object_pixels(values: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_] | None:
    """Mark the pixels of the object in a box: the side of the threshold that is more frequent in the middle than at the
    rim. None if neither side covers a plausible share of the box."""
    bright = values > otsu_threshold(values)
    rows, columns = (np.abs(np.linspace(-1, 1, length)) <= 0.5 for length in values.shape)
    middle = rows[:, None] & columns[None]
    if not middle.any() or middle.all():
        return None
    chosen = bright if bright[middle].mean() >= bright[~middle].mean() else ~bright
    return chosen if LEAST_FILL <= chosen.mean() <= MOST_FILL else None


def _values(arrays: Arrays, box: PairBox) -> npt.NDArray[np.float32]:
    """Return the values inside the box in the image that shows the object, (h, w): the mean of the channels."""
    image = arrays.rgb if box.seen_in == "rgb" else np.ma.getdata(arrays.thermal)
    values = np.nan_to_num(image[box.rect.pixels].astype(np.float32))
    return values if values.ndim == 2 else values.mean(axis=2)


def _ground(outside: str, classes: Sequence[str]) -> int | None:
    """The id of pixels outside the boxes; None: what the label says."""
    if outside in classes:
        return list(classes).index(outside)
    if outside not in OUTSIDE:
        raise DataError(f"--outside {outside}: give {', '.join(OUTSIDE)}, or a class: {', '.join(classes)}")
    return IGNORE_INDEX if outside == "ignore" else None


__all__ = ["BoxLabels", "Fill", "label_from_boxes", "otsu_threshold", "paint_boxes"]
