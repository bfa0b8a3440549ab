"""Masks as pictures: colours, blending, legend."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]
Image8 = npt.NDArray[np.uint8]


def colorize(mask: Image8, colors: Sequence[Color]) -> Image8:
    """Class ids (H, W) to RGB (H, W, 3); 255 and other ids without a colour become white."""
    table = np.full((256, 3), 255, dtype=np.uint8)
    table[: len(colors)] = np.asarray(colors, dtype=np.uint8)
    return table[mask]


def blend(image: Image8, mask: Image8, colors: Sequence[Color], opacity: float = 0.5) -> Image8:
    """Lay the mask's colours over an RGB image (H, W, 3); a class drawn in black, the background, stays uncovered."""
    color = colorize(mask, colors).astype(np.float32)
    covered = opacity * color.any(axis=2, keepdims=True)
    return ((1 - covered) * image + covered * color).round().astype(np.uint8)


def with_legend(image: Image8, mask: Image8, classes: Sequence[str], colors: Sequence[Color]) -> Image.Image:
    """Put a legend below: the classes that occur in the mask, with their share of the pixels."""
    counts = np.bincount(mask.ravel(), minlength=256)
    entries = [(i, counts[i] / mask.size) for i in np.argsort(-counts[: len(classes)]) if counts[i]]
    font = ImageFont.load_default(size=13)
    texts = [f"{classes[i]} {100 * share:.1f}%" for i, share in entries]
    width = max(image.shape[1], 120)
    places, x, y = [], 6, 0
    for text in texts:
        needed = 24 + int(font.getlength(text)) + 12
        if x + needed > width and x > 6:
            x, y = 6, y + 20
        places.append((x, y))
        x += needed
    canvas = Image.new("RGB", (width, image.shape[0] + y + 28), "white")
    canvas.paste(Image.fromarray(image), (0, 0))
    draw = ImageDraw.Draw(canvas)
    for (index, _), text, (left, top) in zip(entries, texts, places, strict=True):
        top += image.shape[0] + 6
        draw.rectangle((left, top, left + 16, top + 14), fill=tuple(colors[index]), outline="black")
        draw.text((left + 22, top - 1), text, fill="black", font=font)
    return canvas
