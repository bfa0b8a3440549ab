"""Masks as pictures: colours, blending, legend."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

Color = tuple[int, int, int]
Image8 = npt.NDArray[np.uint8]


def to_bytes(values: npt.NDArray[np.floating]) -> Image8:
    """Values in 0..1, of any shape, to 0..255; what lies beyond is cut."""
    return (255 * np.clip(values, 0, 1)).round().astype(np.uint8)


def to_rgb(image: Tensor) -> Image8:
    """An image (3, H, W) or (1, H, W) in 0..1 to (H, W, 3)."""
    return to_bytes(image.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy())


def to_grey(image: Tensor) -> Image8:
    """An image (1, H, W) in 0..1 to (H, W)."""
    return to_bytes(image[0].numpy())


def colorize(mask: Image8, colors: Sequence[Color]) -> Image8:
    """Class ids (H, W) to RGB (H, W, 3); 255 and other ids without a colour become white."""
    table = np.full((256, 3), 255, dtype=np.uint8)
    table[: len(colors)] = np.asarray(colors, dtype=np.uint8)
    return table[mask]


def overlay_mask(image: Image8, mask: Image8, colors: Sequence[Color], opacity: float = 0.5) -> Image8:
    """Lay the mask's colours over an RGB image (H, W, 3); a class drawn in black, the background, stays uncovered."""
    color = colorize(mask, colors).astype(np.float32)
    covered = opacity * color.any(axis=2, keepdims=True)
    return ((1 - covered) * image + covered * color).round().astype(np.uint8)


def with_legend(image: Image8, mask: Image8, classes: Sequence[str], colors: Sequence[Color]) -> Image.Image:
    """Put a legend below: the classes that occur in the mask, with their share of the pixels."""
    counts = np.bincount(mask.ravel(), minlength=256)
    order = [i for i in np.argsort(-counts[: len(classes)]) if counts[i]]
    texts = [f"{classes[i]} {100 * counts[i] / mask.size:.1f}%" for i in order]
    strip = legend(max(image.shape[1], 120), texts, [colors[i] for i in order])
    canvas = Image.new("RGB", (strip.shape[1], image.shape[0] + strip.shape[0]), "white")
    canvas.paste(Image.fromarray(image), (0, 0))
    canvas.paste(Image.fromarray(strip), (0, image.shape[0]))
    return canvas


def legend(width: int, texts: Sequence[str], colors: Sequence[Color]) -> Image8:
    """A strip (h, width, 3): a coloured box before each text, in as many lines as it takes."""
    font = ImageFont.load_default(size=13)
    places, x, y = [], 6, 6
    for text in texts:
        needed = 24 + int(font.getlength(text)) + 12
        if x + needed > width and x > 6:
            x, y = 6, y + 20
        places.append((x, y))
        x += needed
    canvas = Image.new("RGB", (width, y + 22), "white")
    draw = ImageDraw.Draw(canvas)
    for text, color, (left, top) in zip(texts, colors, places, strict=True):
        draw.rectangle((left, top, left + 16, top + 14), fill=tuple(color), outline="black")
        draw.text((left + 22, top - 1), text, fill="black", font=font)
    return np.array(canvas)
