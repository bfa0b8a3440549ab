"""The legend of a picture of classes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cimnet.utils.colors import WHITE, Color, Image8

_MARGIN, _LINE, _BOX, _GAP = 6, 20, (16, 14), 12


def draw_legend(width: int, entries: Iterable[tuple[str, Color]], paper: Color = WHITE) -> Image8:
    """A strip (h, `width`, 3): a coloured box before each text, in as many lines as it takes.

    Args:
        entries: text and colour. A text that is wider than the strip is cut; letters that Pillow's own font lacks
            become question marks.
        paper: the ground.
    """
    font = ImageFont.load_default(size=13)
    indent = _BOX[0] + _MARGIN
    placed, x, y = [], _MARGIN, _MARGIN
    for text, color in entries:
        text = text.encode("latin-1", "replace").decode("latin-1")
        while text and 2 * _MARGIN + indent + font.getlength(text) > width:
            text = text[:-1]
        needed = indent + int(font.getlength(text)) + _GAP
        if x + needed > width and x > _MARGIN:
            x, y = _MARGIN, y + _LINE
        placed.append((text, color, x, y))
        x += needed
    canvas = Image.new("RGB", (width, y + _LINE + 2), paper)
    draw = ImageDraw.Draw(canvas)
    for text, color, left, top in placed:
        draw.rectangle((left, top, left + _BOX[0], top + _BOX[1]), fill=color, outline="black")
        draw.text((left + indent, top - 1), text, fill="black", font=font)
    return np.array(canvas)
