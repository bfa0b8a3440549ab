"""Pictures for the page."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from cimnet.inference.overlay import to_bytes
from cimnet.utils.colors import Image8

VIEW = 1280
"""Longest side of a picture on the page, pixels; downloads have all pixels."""
_FIELD = 960  # width that the offsets are drawn at, at least, so that arrows are not made of steps
_ARROWS = 16  # along the longer side


def view(image: Image8) -> Image.Image:
    """An image (H, W) or (H, W, 3), shrunk to `VIEW` where it is larger."""
    picture = Image.fromarray(image)
    picture.thumbnail((VIEW, VIEW), Image.Resampling.BILINEAR)
    return picture


def arrows(thermal: npt.NDArray[np.float32], field: npt.NDArray[Any]) -> tuple[Image.Image, int]:
    """Offsets (2, H, W), (dy, dx) in pixels, as arrows over a dimmed thermal image: each starts where RGB shows a
    thing and points to where the thermal image does.

    Returns:
        The picture, and by how many times the arrows are longer than the offsets.
    """
    height, width = thermal.shape
    zoom = _FIELD / max(height, width)
    size = (max(1, round(width * zoom)), max(1, round(height * zoom)))
    dimmed = (to_bytes(thermal) * 0.55).astype(np.uint8)
    picture = Image.fromarray(dimmed).resize(size, Image.Resampling.BILINEAR).convert("RGB")
    draw = ImageDraw.Draw(picture)
    step = max(height, width) / _ARROWS
    longest = float(np.quantile(np.hypot(*field), 0.98))
    factor = max(1, min(8, int(step / max(longest, 1e-6))))
    for y in np.arange(step / 2, height, step):
        for x in np.arange(step / 2, width, step):
            dy, dx = (float(v) * factor for v in field[:, int(y), int(x)])
            _arrow(draw, x * zoom, y * zoom, dx * zoom, dy * zoom)
    return picture, factor


def _arrow(draw: ImageDraw.ImageDraw, x: float, y: float, dx: float, dy: float) -> None:
    color, length = (255, 176, 32), math.hypot(dx, dy)
    draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=color)
    if length < 2:
        return
    draw.line((x, y, x + dx, y + dy), fill=color, width=3)
    head, along = min(12.0, 0.6 * length), math.atan2(dy, dx)
    for side in (-0.5, 0.5):
        tip = (x + dx - head * math.cos(along + side), y + dy - head * math.sin(along + side))
        draw.line((x + dx, y + dy, *tip), fill=color, width=3)
