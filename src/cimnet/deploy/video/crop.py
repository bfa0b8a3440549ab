"""The part of a frame that one sensor's picture takes, for recorders that put two pictures into one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cimnet.errors import ConfigError, DataError

HALVES = ("left", "right", "top", "bottom")


@dataclass(frozen=True)
class Crop:
    """A half of the frame by name, or a box in pixels.

    Attributes:
        half: ``left``, ``right``, ``top`` or ``bottom``; of an odd size, the middle line belongs to neither.
        box: (left, top, width, height).
    """

    half: str | None = None
    box: tuple[int, int, int, int] | None = None

    def cut(self, image: npt.NDArray[Any], path: Path | str) -> npt.NDArray[Any]:
        """Cut this part out of an image (H, W, ...).

        Raises:
            DataError: the box does not lie in the image; `path` is named.
        """
        height, width = image.shape[:2]
        if self.box is None:
            half_height, half_width = height // 2, width // 2
            rows, columns = slice(None), slice(None)
            if self.half in ("left", "right"):
                columns = slice(0, half_width) if self.half == "left" else slice(width - half_width, width)
            else:
                rows = slice(0, half_height) if self.half == "top" else slice(height - half_height, height)
        else:
            left, top, wide, high = self.box
            if left + wide > width or top + high > height:
                raise DataError(
                    f"{path}: the part {left},{top},{wide},{high} does not lie in a frame of {width}x{height}; "
                    "give x, y, width and height inside it"
                )
            rows, columns = slice(top, top + high), slice(left, left + wide)
        return np.ascontiguousarray(image[rows, columns])

    def __str__(self) -> str:
        return self.half or ",".join(map(str, self.box or ()))


def parse_crop(text: str | None, option: str) -> Crop | None:
    """``left``, ``right``, ``top``, ``bottom``, or ``X,Y,WIDTH,HEIGHT`` in pixels.

    Raises:
        ConfigError: something else, naming the option.
    """
    if text is None:
        return None
    if text in HALVES:
        return Crop(half=text)
    match = re.fullmatch(r"(\d{1,6}),(\d{1,6}),(\d{1,6}),(\d{1,6})", text, re.ASCII)
    if match is None or not (int(match[3]) and int(match[4])):
        raise ConfigError(f"{option} {text}: give {', '.join(HALVES)}, or X,Y,WIDTH,HEIGHT in pixels")
    left, top, width, height = (int(number) for number in match.groups())
    return Crop(box=(left, top, width, height))
