"""Images as bytes, and masks drawn over them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from cimnet.utils.colors import Color, Image8, colorize
from cimnet.utils.legend import draw_legend


def to_bytes(values: npt.NDArray[np.floating]) -> Image8:
    """Values in 0..1, of any shape, to 0..255; values beyond are clipped."""
    return (255 * np.clip(values, 0, 1)).round().astype(np.uint8)


def to_rgb(image: Tensor) -> Image8:
    """An image (3, H, W) in 0..1 to (H, W, 3); of any other number of channels the first one, in grey."""
    seen = image if len(image) == 3 else image[:1].expand(3, -1, -1)
    return to_bytes(seen.permute(1, 2, 0).contiguous().numpy())


def to_grey(image: Tensor) -> Image8:
    """An image (C, H, W) in 0..1 to (H, W): its first channel."""
    return to_bytes(image[0].numpy())


def overlay_mask(image: Image8, mask: Image8, colors: Sequence[Color], opacity: float = 0.5) -> Image8:
    """Lay the mask's colours over an RGB image (H, W, 3); a class drawn in black, the background, stays uncovered."""
    color = colorize(mask, colors).astype(np.float32)
    covered = opacity * color.any(axis=2, keepdims=True)
    return ((1 - covered) * image + covered * color).round().astype(np.uint8)


def class_shares(mask: Image8, count: int) -> list[tuple[int, float]]:
    """The classes 0..count-1 that occur in a mask of ids (H, W), the largest first, with their share of all pixels."""
    pixels = np.bincount(mask.ravel(), minlength=count)[:count]
    order = np.argsort(-pixels, kind="stable")
    return [(int(class_id), float(pixels[class_id] / mask.size)) for class_id in order if pixels[class_id]]


def with_legend(image: Image8, mask: Image8, classes: Sequence[str], colors: Sequence[Color]) -> Image.Image:
    """Put a legend below: the classes that occur in the mask, with their share of the pixels."""
    entries = [(f"{classes[k]} {100 * share:.1f}%", colors[k]) for k, share in class_shares(mask, len(classes))]
    strip = draw_legend(max(image.shape[1], 120), entries)
    canvas = Image.new("RGB", (strip.shape[1], image.shape[0] + strip.shape[0]), "white")
    canvas.paste(Image.fromarray(image), (0, 0))
    canvas.paste(Image.fromarray(strip), (0, image.shape[0]))
    return canvas
