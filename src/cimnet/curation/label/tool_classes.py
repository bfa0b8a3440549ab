"""Classes in a labelling tool: names, colours, and the class of unpainted pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cimnet.data.classes import ClassList, palette
from cimnet.data.sample import IGNORE_INDEX
from cimnet.utils.colors import Color

BACKGROUND = ("background", "unlabelled", "unlabeled", "void")


@dataclass(frozen=True)
class ToolClasses:
    """The classes of a data set in a tool.

    Attributes:
        names: of the classes that are painted.
        ids: their class ids.
        colors: theirs: the data set's where they differ from each other and are not black, which tools keep for what
            is not painted.
        unpainted: class id of pixels that nothing is painted on: that of the data set's background class, or 255
            (ignore) if it has none.
    """

    names: tuple[str, ...]
    ids: tuple[int, ...]
    colors: tuple[Color, ...]
    unpainted: int

    @classmethod
    def of(cls, classes: Sequence[str], colors: Sequence[Color]) -> ToolClasses:
        """The classes of a data set, as a labelling tool has them."""
        ClassList(tuple(classes), tuple(colors))
        back = next((k for k, name in enumerate(classes) if name.lower() in BACKGROUND), None)
        ids = tuple(k for k in range(len(classes)) if k != back)
        spare = (color for color in palette(3 * len(classes) + 3) if any(color) and color not in colors)
        chosen: list[Color] = []
        for k in ids:
            own = colors[k]
            chosen.append(own if any(own) and own not in chosen else next(spare))
        return cls(tuple(classes[k] for k in ids), ids, tuple(chosen), IGNORE_INDEX if back is None else back)
