"""The capabilities of layouts: file formats, depths, classes, label values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cimnet.data import LAYOUTS
from cimnet.data.classes import ClassList, palette
from cimnet.data.dataset import RGBTDataset
from cimnet.data.io.patterns import FilePattern
from cimnet.data.labels import ignore_color
from cimnet.data.sample import IGNORE_INDEX
from cimnet.errors import DataError
from cimnet.utils.colors import Color, color_table

COLORS = "colors"
"""The target that is the generic folder with labels as pictures in the classes' colours."""
PANOPTIC = "coco_panoptic"
IGNORE = "ignore"

_ALL_DEPTHS = ("uint8", "uint16", "int16", "float32")
_DEPTHS = {
    **dict.fromkeys(("mfnet", "kust4k", "msrs", "pst900", "fmb"), ("uint8",)),
    **dict.fromkeys(("pst900_raw", "cart"), ("uint16",)),
}
_ALL_FORMATS = ("PNG", "JPEG", "MPO", "TIFF", "BMP")
_PUBLISHED_FORMATS = {"cart": {"rgb": ("JPEG", "MPO", "PNG"), "thermal": ("TIFF",)}}

Lookup = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Target:
    """The form in which pairs are written.

    Attributes:
        name: of the layout, or `COLORS`.
        layout: what reads the result.
        classes: names and colours by class id.
        ids: (256,) class id in the target by class id in the source.
        values: (256,) value in the label files by class id in the target, or (256, 3) colours.
        depths: types of thermal values that the layout's files may have.
        formats: image formats that are copied as they are, by kind.
    """

    name: str
    layout: type[RGBTDataset]
    classes: ClassList
    ids: Lookup
    values: npt.NDArray[np.uint8]
    depths: tuple[str, ...]
    formats: Mapping[str, Sequence[str]]

    @property
    def form(self) -> FilePattern:
        return self.layout.forms[0]

    @property
    def in_folders(self) -> bool:
        """Whether a pair lies in the folder, or in the JSON file, of one split."""
        return "{split}" in self.form.labels

    @property
    def described(self) -> bool:
        """Whether its classes.yaml says the classes."""
        return self.layout.info.classes is None and self.name != PANOPTIC


def choose_target(to: str, source: ClassList, class_map: Mapping[str, str] | None, where: Path) -> Target:
    """The target of a name, for a source with these classes; `where` is the source as errors name it.

    Raises:
        DataError: no such target, or classes that do not fit, see `match_classes`.
    """
    if to not in (*LAYOUTS, COLORS):
        raise DataError(f"to: no layout {to!r}; there are {', '.join((*LAYOUTS, COLORS))}")
    layout = LAYOUTS["folder" if to == COLORS else to]
    classes, ids = match_classes(source, layout.info.classes, class_map or {}, where, to)
    published = _PUBLISHED_FORMATS.get(to, {"rgb": ("PNG",), "thermal": ("PNG",)})
    return Target(
        name=to,
        layout=layout,
        classes=classes,
        ids=ids,
        values=_label_values(to, classes, layout.info.label_table),
        depths=_DEPTHS.get(to, _ALL_DEPTHS),
        formats=published if to in _DEPTHS else {"rgb": _ALL_FORMATS, "thermal": _ALL_FORMATS},
    )


def match_classes(
    source: ClassList, target: ClassList | None, class_map: Mapping[str, str], where: Path, to: str
) -> tuple[ClassList, Lookup]:
    """Classes of the target, and (256,) their id by class id of the source, by name alone.

    `class_map` gives other names, or "ignore". Where the target takes any classes (None), it gets those of the source
    under their new names, several of one new name becoming one.

    Raises:
        DataError: a name in class_map that is not there, or source classes without a partner.
    """
    unknown = [name for name in class_map if name not in source.names]
    if unknown:
        raise DataError(f"class_map: {where} has no class {', '.join(unknown)}; it has {', '.join(source.names)}")
    partners = [class_map.get(name, name) for name in source.names]
    if target is None:
        target = _renamed(source, partners, class_map)
    ids = np.full(256, IGNORE_INDEX, np.uint8)
    missing: dict[str, str] = {}
    for class_id, (name, partner) in enumerate(zip(source.names, partners, strict=True)):
        if partner in target.names:
            ids[class_id] = target.names.index(partner)
        elif class_map.get(name) != IGNORE:
            missing[name] = partner
    if missing:
        raise DataError(
            f"{where}: {to} has no class {', '.join(missing.values())}; it has {', '.join(target.names)}: give each a "
            f"partner or {IGNORE!r} by --map (class_map), such as {next(iter(missing))}={target.names[0]}, or "
            "convert to the layout folder, which takes any classes"
        )
    return target, ids


def _renamed(source: ClassList, partners: Sequence[str], class_map: Mapping[str, str]) -> ClassList:
    """The source's classes under new names, each with the first of its colours, without those ignored."""
    colors: dict[str, Color] = {}
    for name, partner, color in zip(source.names, partners, source.colors, strict=True):
        if class_map.get(name) != IGNORE:
            colors.setdefault(partner, color)
    if not colors:
        raise DataError("class_map: every class is ignored; keep one")
    return ClassList(tuple(colors), tuple(colors.values()))


def _label_values(to: str, classes: ClassList, table: Mapping[int, int] | None) -> npt.NDArray[np.uint8]:
    """Values of the label files by class id; where several mean the same, the first."""
    if to == PANOPTIC:
        return np.arange(1, 257).astype(np.uint8)  # segments 1, 2, …; 255 becomes 0, void
    if to == COLORS:
        _require_distinct(classes)
        return color_table(classes.colors, other=(0, 0, 0), ignore=ignore_color(classes.colors))
    values = np.arange(256, dtype=np.uint8)
    for value, class_id in reversed(list((table or {}).items())):
        values[class_id] = value
    return values


def _require_distinct(classes: ClassList) -> None:
    twice = [name for name, color in zip(classes.names, classes.colors, strict=True) if classes.colors.count(color) > 1]
    if twice:
        raise DataError(
            f"classes {', '.join(twice)} have one colour, and labels in colours could not tell them apart; give each "
            f"its own in classes.yaml, such as {list(palette(len(classes.names))[-1])}"
        )
