"""Class ids as colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Color = tuple[int, int, int]
"""Red, green, blue in 0..255."""
Image8 = npt.NDArray[np.uint8]
WHITE: Color = (255, 255, 255)


def color_table(colors: Sequence[Color], other: Color = WHITE, ignore: Color | None = None) -> Image8:
    """The colour of every id that a byte holds, (256, 3).

    Args:
        other: of ids that have none in `colors`.
        ignore: of id 255, pixels without a class. None: `other`.
    """
    table = np.full((256, 3), other, dtype=np.uint8)
    table[: len(colors)] = np.asarray(colors, dtype=np.uint8).reshape(-1, 3)
    if ignore is not None:
        table[255] = ignore
    return table


def colorize(mask: npt.NDArray[np.integer[Any]], colors: Sequence[Color], other: Color = WHITE) -> Image8:
    """Class ids (H, W) in 0..255 to RGB (H, W, 3); 255 and other ids without a colour become `other`."""
    return color_table(colors, other)[mask]


def pack_rgb(colors: Image8) -> npt.NDArray[np.int32]:
    """Colours (..., 3) as one number each, (...): 0xRRGGBB."""
    red, green, blue = (colors[..., channel].astype(np.int32) for channel in range(3))
    return red << 16 | green << 8 | blue


def hex_color(color: Color) -> str:
    """A colour as ``#rrggbb``."""
    return "#{:02x}{:02x}{:02x}".format(*color)
