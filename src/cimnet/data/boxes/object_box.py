"""One object as a box file gives it: rectangles, class, and which sensor shows it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

SeenIn = Literal["rgb", "thermal", "both", "unsure", ""]
SEEN_IN: tuple[str, ...] = get_args(SeenIn)[:-1]
MOST_PIXELS = 1e9
"""Coordinates are below: more is no position in an image."""


@dataclass(frozen=True)
class Rect:
    """A rectangle in pixels: left, top, right and bottom edge. The pixel in column x covers x to x + 1."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def area(self) -> float:
        """The area in square pixels."""
        return max(0.0, self.x1 - self.x0) * max(0.0, self.y1 - self.y0)

    def clipped(self, height: int, width: int) -> Rect:
        """The part inside an image."""
        return Rect(
            *(min(max(value, 0.0), float(most)) for value, most in zip(self.edges, (width, height) * 2, strict=True))
        )

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1."""
        return self.x0, self.y0, self.x1, self.y1

    @property
    def pixels(self) -> tuple[slice, slice]:
        """Rows and columns of the pixels whose centres lie inside."""
        left, top, right, bottom = (max(0, math.ceil(value - 0.5)) for value in self.edges)
        return slice(top, bottom), slice(left, right)

    @property
    def is_empty(self) -> bool:
        """Whether no pixel has its centre inside."""
        rows, columns = self.pixels
        return rows.start >= rows.stop or columns.start >= columns.stop


@dataclass(frozen=True)
class ObjectBox:
    """One object.

    Attributes:
        place: where it stands in the file ("row 3", "annotation 17"), for messages.
        image: name of its image, as the file gives it.
        class_name: as the file gives it.
        rgb, thermal: its rectangle in the RGB image and in the thermal image; one of them is there. A file with one
            rectangle for both fills `rgb`.
        seen_in: which sensor shows it; "" where the file does not say.
        scene: as the file gives it; "" where it does not.
        ignore: the rectangle marks a region that is not scored, such as a crowd.
    """

    place: str
    image: str
    class_name: str
    rgb: Rect | None
    thermal: Rect | None
    seen_in: SeenIn = ""
    scene: str = ""
    ignore: bool = False


@dataclass(frozen=True)
class BoxFile:
    """All boxes of a file.

    Attributes:
        images: names of the images that were annotated, with or without objects. None: the file does not say, so every
            image counts as annotated.
        sizes: names of images and (height, width), of those whose size the file states.
    """

    path: Path
    boxes: tuple[ObjectBox, ...]
    images: frozenset[str] | None = None
    sizes: tuple[tuple[str, tuple[int, int]], ...] = ()


__all__ = ["MOST_PIXELS", "SEEN_IN", "BoxFile", "ObjectBox", "Rect", "SeenIn"]
