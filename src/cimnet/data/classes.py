"""Class names and colours: built-in lists, lists of a YAML file, and a default palette."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cimnet.errors import DataError
from cimnet.utils.colors import Color
from cimnet.utils.numbers import pluralize

MAX_CLASSES = 255  # ids 0..254 in 8 bits; 255 is "ignore"

_FIRST_COLORS: tuple[Color, ...] = (
    (0, 0, 0), (230, 60, 60), (60, 180, 75), (255, 225, 25), (0, 130, 200), (245, 130, 48), (145, 30, 180),
    (70, 240, 240), (240, 50, 230), (210, 245, 60), (250, 190, 212), (0, 128, 128), (170, 110, 40),
    (220, 190, 255), (128, 0, 0), (170, 255, 195), (128, 128, 0), (0, 0, 160), (128, 128, 128), (255, 255,
    255),
)  # fmt: skip


def palette(count: int) -> tuple[Color, ...]:
    """Distinct colours for classes: the same ones every time, black first.

    Args:
        count: number of colours.

    Returns:
        (red, green, blue) of each, 0..255.
    """
    colors = list(_FIRST_COLORS[:count])
    taken = set(colors)
    step = 0
    while len(colors) < count:
        hue, ring = (step * 0.61803398875) % 1.0, step % 6
        red, green, blue = colorsys.hsv_to_rgb(hue, (0.9, 0.55, 0.75)[ring % 3], (0.95, 0.6)[ring // 3])
        color = (round(red * 255), round(green * 255), round(blue * 255))
        if color not in taken:
            colors.append(color)
            taken.add(color)
        step += 1
    return tuple(colors)


@dataclass(frozen=True)
class ClassList:
    """Names and colours of classes.

    Attributes:
        names: 1 to 255 names, in the order of the class ids from 0.
        colors: (red, green, blue) of each class, 0..255. Empty: those of :func:`palette`.

    Raises:
        DataError: there is no class or more than 255, a name comes twice or cannot be printed, or the number of colours
            is not that of the names.
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...] = field(default=())

    def __post_init__(self) -> None:
        if not self.names or len(self.names) > MAX_CLASSES:
            raise DataError(f"a class list needs 1 to {MAX_CLASSES} names, not {len(self.names)}")
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice:
            raise DataError(f"class names must differ: {', '.join(twice)} listed more than once")
        unprintable = [name for name in self.names if not name.isprintable()]
        if unprintable:
            raise DataError(f"class name {unprintable[0]!r} holds a character that cannot be shown; remove it")
        if not self.colors:
            object.__setattr__(self, "colors", palette(len(self.names)))
        if len(self.colors) != len(self.names):
            names, colors = pluralize(len(self.names), "class name"), pluralize(len(self.colors), "colour")
            raise DataError(f"{names} but {colors}")


MOVING_CLASSES = frozenset(
    {"car", "truck", "bus", "van", "train", "vehicle", "vehicles", "motorcycle", "motorbike", "bike", "bicycle"}
    | {"motorcyclist", "bicyclist", "cyclist", "rider", "person", "human", "pedestrian", "survivor", "animal"}
)
"""Names, in lower case, of classes whose things may move between the exposures of two cameras."""


def moving_ids(classes: Iterable[str]) -> frozenset[int]:
    """Ids of the classes in `MOVING_CLASSES`."""
    return frozenset(k for k, name in enumerate(classes) if name.lower() in MOVING_CLASSES)


BUILT_IN: dict[str, ClassList] = {}
"""Lists that `classes="mfnet"` and the like choose; each layout file adds its own."""


def built_in(name: str, entries: Sequence[tuple[str, Color]]) -> ClassList:
    """Make a class list and offer it under a name."""
    BUILT_IN[name] = ClassList(tuple(entry[0] for entry in entries), tuple(entry[1] for entry in entries))
    return BUILT_IN[name]


def choose_classes(asked: str | Sequence[str] | None, found: ClassList | None, root: Path) -> ClassList | None:
    """The classes asked for (a list of names or the name of a built-in list), else those found with the data.

    Names found and names asked for must agree: ids of other classes would be trained or scored as these.

    Raises:
        DataError: an unknown built-in list, or names other than those found with the data in `root`.
    """
    if asked is None:
        return found
    if isinstance(asked, str) and asked not in BUILT_IN:
        raise DataError(f"classes: no built-in list {asked!r}; there are {', '.join(sorted(BUILT_IN))}")
    wanted = BUILT_IN[asked] if isinstance(asked, str) else ClassList(tuple(asked))
    if found is None:
        return wanted
    if found.names != wanted.names:
        raise DataError(
            f"{root}: its classes ({', '.join(found.names)}) are not those asked for ({', '.join(wanted.names)}); "
            "take data and checkpoint, or data and recipe, of the same classes"
        )
    return found


def parse_classes(entries: Any, path: Path) -> ClassList:
    """A class list from a YAML file's: names, or entries `{name: …, color: [r, g, b] or "#rrggbb"}`.

    Raises:
        DataError: anything else; `path` is named.
    """
    if isinstance(entries, dict) and list(entries) == list(range(len(entries))):
        entries = list(entries.values())
    if not isinstance(entries, list) or not entries:
        raise DataError(f"{path}: classes must be a list of names, in the order of their ids from 0")
    names: list[str] = []
    colors: list[Color | None] = []
    for number, entry in enumerate(entries):
        name, color = (entry.get("name"), entry.get("color")) if isinstance(entry, dict) else (entry, None)
        if not isinstance(name, str) or not name.strip():
            raise DataError(f"{path}: class {number}: expected a name, not {name!r} (quote names like 'on' or '1')")
        names.append(name.strip())
        colors.append(None if color is None else _parse_color(color, path, name))
    spare = iter(color for color in palette(2 * len(names)) if color not in colors)
    try:
        return ClassList(tuple(names), tuple(color or next(spare) for color in colors))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _parse_color(color: Any, path: Path, name: str) -> Color:
    if isinstance(color, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", color):
        return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
    if isinstance(color, list) and len(color) == 3 and all(type(v) is int and 0 <= v <= 255 for v in color):
        return color[0], color[1], color[2]
    raise DataError(f'{path}: class {name}: color must be [red, green, blue] in 0..255 or "#rrggbb", not {color!r}')
