"""The boxes of a file as the boxes of a data set's pairs: names, classes and places are checked."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cimnet.data.boxes.object_box import BoxFile, ObjectBox, Rect, SeenIn
from cimnet.data.coco_sizes import check_stated_size
from cimnet.data.dataset import RGBTDataset
from cimnet.data.io.notices import notice
from cimnet.data.io.split_lists import parse_names
from cimnet.data.pairs import Pair, rgb_size
from cimnet.errors import DataError
from cimnet.utils.numbers import pluralize

IGNORE = "ignore"
LEAST_INSIDE = 0.5
"""Share of a rectangle that must lie inside the image; what sticks out is cut off."""


@dataclass(frozen=True)
class PairBox:
    """One object of a pair.

    Attributes:
        class_id: of the data set. None: a region that is not scored, whatever its class.
        rect: where the mask shows it, inside the image: the rectangle of the RGB image, else that of the thermal image.
            In pixels of the image as it is read, without the border that the data set cuts off.
        seen_in: as in `ObjectBox`.
        ignore: the region is not scored.
    """

    class_id: int | None
    rect: Rect
    seen_in: SeenIn = ""
    ignore: bool = False


@dataclass(frozen=True)
class PairBoxes:
    """Boxes of the pairs of one split.

    Attributes:
        by_pair: boxes by id of the pair, for those that have some.
        scenes: scene by id, for the pairs of which the file gives one.
        annotated: ids of the split's pairs that were annotated, with or without objects, in the order of the split.
        elsewhere: boxes of pairs that are in the folder, but not in the split.
    """

    by_pair: dict[str, tuple[PairBox, ...]]
    scenes: dict[str, str]
    annotated: tuple[str, ...]
    elsewhere: int


def boxes_of_pairs(file: BoxFile, dataset: RGBTDataset, class_map: Mapping[str, str] | None = None) -> PairBoxes:
    """Find the pair and the class of every box. An image is named by its pair or by the file name of one of its images,
    as in split lists. The file's pixels are those of the images as stored; a border that the data set cuts off is
    taken off the boxes, too. A warning counts those that lie in it as a whole, which are left out.

    Args:
        file: boxes, from :func:`cimnet.data.boxes.read_boxes`.
        dataset: pairs of the boxes.
        class_map: by class in the file, the class of the data set, or "ignore" for regions that are not scored. Other
            classes keep their names.

    Raises:
        DataError: an image is not in the folder, a class is none of the data set's, a rectangle has no pixel or lies
            outside its image, an image has two scenes or another size than the file states, or pairs are mirrored when
            they are read.
    """
    index = dataset.find_files()
    given = {box.image for box in file.boxes} | (file.images or frozenset())
    meant = {image: index.resolve("".join(parse_names(image)[:1])) for image in given}
    known, pairs = set(index.names()), {pair.id: pair for pair in dataset.pairs}
    bands = dataset.wanted.bands
    for image, stated in file.sizes:
        if (pair := pairs.get(meant[image])) is not None:
            check_stated_size(file.path, image, stated, pair.rgb, bands)
    class_ids = _class_ids(file, dataset.classes, class_map or {})
    found: dict[str, list[PairBox]] = {}
    scenes: dict[str, str] = {}
    elsewhere = cut_off = 0
    for box in file.boxes:
        name = meant[box.image]
        if name not in known:
            raise DataError(
                f"{file.path}: {box.place}: image {box.image!r} is not in {dataset.root}; correct the name or remove it"
            )
        if name not in pairs:
            elsewhere += 1
            continue
        if box.scene and scenes.setdefault(name, box.scene) != box.scene:
            raise DataError(
                f"{file.path}: {box.place}: scene {box.scene!r}, but {scenes[name]!r} in another row of {box.image!r}; "
                "give each image one scene"
            )
        class_id = class_ids[box.class_name]
        size = rgb_size(pairs[name].rgb, bands)
        rect = _without(dataset.file.border, size, _inside(file, box, pairs[name], size))
        if rect.is_empty:
            cut_off += 1
            continue
        found.setdefault(name, []).append(PairBox(class_id, rect, box.seen_in, box.ignore or class_id is None))
    _refuse_mirrored(dataset.pairs)
    if cut_off:
        boxes = pluralize(cut_off, "box", "boxes")
        notice(f"{file.path}: {boxes} inside the border that {dataset.file.path} cuts off, left out")
    listed = None if file.images is None else {meant[image] for image in file.images}
    annotated = tuple(name for name in pairs if listed is None or name in listed)
    return PairBoxes({name: tuple(boxes) for name, boxes in found.items()}, scenes, annotated, elsewhere)


def _class_ids(file: BoxFile, classes: Sequence[str], class_map: Mapping[str, str]) -> dict[str, int | None]:
    """Class id by class name of the file; None for those that are not scored."""
    ids: dict[str, int | None] = {name: number for number, name in enumerate(classes)}
    names = {box.class_name: box.place for box in reversed(file.boxes)}  # the first place of each
    for given, target in class_map.items():
        if given not in names:
            raise DataError(
                f"{file.path}: --map {given}={target}: no box has this class; there are {', '.join(sorted(names))}"
            )
        if target not in (*ids, IGNORE):
            raise DataError(
                f"{file.path}: --map {given}={target}: the data set has no class {target!r}; it has "
                f"{', '.join(classes)}; {IGNORE} leaves boxes out"
            )
    found = {}
    for name, place in names.items():
        target = class_map.get(name, name)
        if target not in ids and target != IGNORE:
            near = (difflib.get_close_matches(name, classes, n=1, cutoff=0.5) or [classes[-1]])[0]
            raise DataError(
                f"{file.path}: {place}: class {name!r} is none of {', '.join(classes)}; correct it, or give "
                f"--map {name}={near} or --map {name}={IGNORE}"
            )
        found[name] = ids.get(target)
    return found


def _inside(file: BoxFile, box: ObjectBox, pair: Pair, size: tuple[int, int]) -> Rect:
    """The rectangle, checked against the size (height, width) of the image as stored and cut to it."""
    height, width = size
    where = f"{file.path}: {box.place}"
    for rect in (box.thermal, box.rgb):
        if rect is None:
            continue
        edges = ", ".join(f"{edge:g}" for edge in rect.edges)
        if rect.is_empty and rect.clipped(height, width).edges == rect.edges:
            raise DataError(
                f"{where}: the rectangle x0, y0, x1, y1 = {edges} holds no pixel; give pixels, with x1 > x0 and y1 > y0"
            )
        inside = rect.clipped(height, width)
        if inside.is_empty or inside.area < LEAST_INSIDE * rect.area:
            raise DataError(
                f"{where}: the rectangle x0, y0, x1, y1 = {edges} lies outside the image ({pair.rgb}: "
                f"{width}x{height}); give pixels of this image"
            )
    chosen = box.rgb or box.thermal
    assert chosen is not None  # readers see to it
    return chosen.clipped(height, width)


def _without(border: tuple[int, int, int, int], size: tuple[int, int], rect: Rect) -> Rect:
    """A rectangle of an image of a size (height, width) in pixels of that image without its border."""
    top, right, bottom, left = border
    moved = Rect(rect.x0 - left, rect.y0 - top, rect.x1 - left, rect.y1 - top)
    return moved.clipped(size[0] - top - bottom, size[1] - left - right)


def _refuse_mirrored(pairs: Sequence[Pair]) -> None:
    mirrored = next((pair for pair in pairs if pair.mirrored), None)
    if mirrored is not None:
        raise DataError(
            f"{mirrored.id}: a mirrored pair, which boxes do not fit; score or label a split without _flip names"
        )


__all__ = ["IGNORE", "PairBox", "PairBoxes", "boxes_of_pairs"]
