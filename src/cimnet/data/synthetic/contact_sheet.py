"""A sheet that shows some scenes to a person: colour, thermal, label and true offset side by side."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from cimnet.data.synthetic.class_ids import CLASSES, COLORS
from cimnet.data.synthetic.raster import Array
from cimnet.data.synthetic.render import ScenePair, render

_GAP, _HEAD, _FOOT = 6, 18, 24


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
    sheet = Image.new(
        "RGB", (4 * width + 5 * _GAP, rows * (height + _HEAD + _GAP) + _GAP + _FOOT), (250, 250, 250)
    )  # fmt: skip
    draw = ImageDraw.Draw(sheet)
    for row in range(rows):
        pair = render(seed, split=split, index=start + row, size=size, scale=scale)
        top = _GAP + row * (height + _HEAD + _GAP)
        title = ", ".join([pair.id, pair.scene.replace("_", " "), *sorted(pair.flags)]).replace("_", " ")
        draw.text((_GAP, top + 3), title, (20, 20, 20))
        label = np.array(COLORS, np.uint8)[pair.label]
        pictures = (pair.rgb, pair.thermal, label, offset_picture(pair, scale))
        for column, picture in enumerate(pictures):
            image = Image.fromarray(picture).convert("RGB")
            sheet.paste(image, (_GAP + column * (width + _GAP), top + _HEAD))
    _legend(draw, sheet.height - _FOOT)
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


def _legend(draw: ImageDraw.ImageDraw, top: int) -> None:
    x = _GAP
    for name, color in zip(CLASSES, COLORS, strict=True):
        draw.rectangle([x, top + 5, x + 12, top + 17], color, (60, 60, 60))
        text = name.replace("_", " ")
        draw.text((x + 17, top + 6), text, (20, 20, 20))
        x += 17 + int(draw.textlength(text)) + 14
