"""A sheet that shows some scenes to a person: colour, thermal, label and true offset side by side."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from cimnet.data.synthetic.class_ids import CLASSES, COLORS
from cimnet.data.synthetic.raster import Array
from cimnet.data.synthetic.render import ScenePair, render
from cimnet.utils.colors import colorize
from cimnet.utils.legend import draw_legend
from cimnet.utils.numbers import describe

_GAP, _HEAD = 6, 18
_PAPER = (250, 250, 250)


def contact_sheet(
    seed: int = 0,
    rows: int = 4,
    *,
    split: str = "test",
    start: int = 0,
    size: tuple[int, int] = (256, 320),
    scale: float = 0.5,
) -> Image.Image:
    """Scenes `start` to `start + rows - 1` of a split, one a row, with a legend of the classes below.

    The fourth picture shows how far (0 black to 12 native pixels yellow) and where to (arrows, drawn to scale) the
    thermal image is displaced."""
    height, width = size
    wide, high = 4 * width + 5 * _GAP, rows * (height + _HEAD + _GAP) + _GAP
    legend = Image.fromarray(draw_legend(wide, zip(map(describe, CLASSES), COLORS, strict=True), _PAPER))
    sheet = Image.new("RGB", (wide, high + legend.height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for row in range(rows):
        pair = render(seed, split=split, index=start + row, size=size, scale=scale)
        top = _GAP + row * (height + _HEAD + _GAP)
        title = ", ".join([pair.id, *map(describe, [pair.scene, *sorted(pair.flags)])])
        draw.text((_GAP, top + 3), title, (20, 20, 20))
        label = colorize(pair.label, COLORS)
        pictures = (pair.rgb, pair.thermal, label, offset_picture(pair, scale))
        for column, picture in enumerate(pictures):
            image = Image.fromarray(picture).convert("RGB")
            sheet.paste(image, (_GAP + column * (width + _GAP), top + _HEAD))
    sheet.paste(legend, (0, high))
    return sheet


def offset_picture(pair: ScenePair, scale: float) -> Array:
    """Magnitude of the true offset in colour, with arrows from sampled places; uint8 (H, W, 3)."""
    dy, dx = pair.offset
    far = np.minimum(np.sqrt(dx * dx + dy * dy) / (12.0 * scale), 1.0)[..., None]
    low, high = np.array([24.0, 16.0, 60.0]), np.array([255.0, 230.0, 60.0])
    image = Image.fromarray((low + (high - low) * far).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    height, width = far.shape[:2]
    step = max(min(height, width) // 8, 8)
    for y in range(step // 2, height, step):
        for x in range(step // 2, width, step):
            end = (x + float(dx[y, x]), y + float(dy[y, x]))
            draw.line([(x, y), end], (255, 255, 255))
            draw.ellipse([x - 1, y - 1, x + 1, y + 1], (255, 255, 255))
    return np.asarray(image)
