"""What a frame of the overlay video shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from cimnet.inference.overlay import Color, Image8, blend

View = Literal["overlay", "side", "none"]


def compose(
    rgb: Image8,
    thermal: npt.NDArray[np.float32],
    mask: Image8,
    colors: Sequence[Color],
    bar: Image8 | None,
    view: View,
    opacity: float,
) -> Image8:
    """The overlay, or RGB, thermal and overlay side by side, above the legend.

    Args:
        rgb, thermal, mask: (H, W, 3), (H, W) in 0..1 and class ids (H, W).
        bar: of `legend`, as wide as the picture; None: without.
    """
    shown = blend(rgb, mask, colors, opacity)
    if view == "side":
        grey = (255 * thermal).round().astype(np.uint8)
        shown = np.hstack([rgb, np.repeat(grey[..., None], 3, axis=2), shown])
    return shown if bar is None else np.vstack([shown, bar])


def legend(width: int, classes: Sequence[str], colors: Sequence[Color]) -> Image8:
    """A strip (h, width, 3) that names all classes; the same in every frame, unlike that of a single picture."""
    font = ImageFont.load_default(size=13)
    places, x, y = [], 6, 6
    for name in classes:
        needed = 22 + int(font.getlength(name)) + 12
        if x + needed > width and x > 6:
            x, y = 6, y + 20
        places.append((x, y))
        x += needed
    canvas = Image.new("RGB", (width, y + 22), "white")
    draw = ImageDraw.Draw(canvas)
    for name, color, (left, top) in zip(classes, colors, places, strict=True):
        draw.rectangle((left, top, left + 16, top + 14), fill=tuple(color), outline="black")
        draw.text((left + 22, top - 1), name, fill="black", font=font)
    return np.array(canvas)
