"""A schematic of a network of two streams, as SVG: encoders, what they exchange after each stage, what is decoded."""

from __future__ import annotations

import html
from dataclasses import dataclass

PITCH, WIDTH, HEIGHT = 150, 112, 38
LEFT, RGB_ROW, MIDDLE_ROW, THERMAL_ROW, DECODER_ROW = 92, 12, 84, 156, 236
BLUE, ORANGE = "#0072b2", "#d55e00"


@dataclass(frozen=True)
class Step:
    """A stage of both encoders and what happens after it.

    Attributes:
        scale: size of its maps beside the image, such as ``1/4``.
        exchange: what meets there, in a word or two. Empty: nothing.
        goes_on: what the next stages get: their ``own`` maps, or the result in ``rgb`` alone or in ``both`` streams.
        decoded: the result goes to the decoder: ``yes``, ``no``, or in ``training`` alone.
    """

    scale: str
    exchange: str = ""
    goes_on: str = "own"
    decoded: str = "yes"


@dataclass(frozen=True)
class Diagram:
    """A network: what both encoders are, its steps, and its decoder. ``shared``: one encoder for both sensors."""

    rgb: str
    thermal: str
    steps: tuple[Step, ...]
    decoder: str
    shared: bool = False


def to_svg(diagram: Diagram, title: str) -> str:
    """The picture, one HTML element without empty lines."""
    count = len(diagram.steps)
    right = LEFT + (count - 1) * PITCH + WIDTH
    parts = [_text(8, RGB_ROW + 24, "RGB", "start"), _text(8, THERMAL_ROW + 24, "thermal", "start")]
    parts += [_arrow(68, row + HEIGHT / 2, LEFT, row + HEIGHT / 2) for row in (RGB_ROW, THERMAL_ROW)]
    for index, step in enumerate(diagram.steps):
        x = LEFT + index * PITCH
        parts += _step(step, x, last=index == count - 1)
        parts.append(_box(x, RGB_ROW, f"{diagram.rgb} {step.scale}", BLUE))
        parts.append(_box(x, THERMAL_ROW, f"{diagram.thermal} {step.scale}", BLUE if diagram.shared else ORANGE))
    parts.append(_box(LEFT, DECODER_ROW, diagram.decoder, "currentColor", right - LEFT + 20))
    parts.append(_arrow(right + 20, DECODER_ROW + HEIGHT / 2, right + 56, DECODER_ROW + HEIGHT / 2))
    parts.append(_text(right + 60, DECODER_ROW + 24, "mask", "start"))
    if diagram.shared:
        parts.append(_text(8, RGB_ROW + 96, "one encoder", "start"))
    size = f'viewBox="0 0 {right + 110} {DECODER_ROW + HEIGHT + 8}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" font-size="12" fill="none" stroke-width="1.3">'
    marker = (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="currentColor"/></marker></defs>'
    )
    return f'<div class="diagram">{head}<title>{html.escape(title)}</title>{marker}{"".join(parts)}</svg></div>'


def _step(step: Step, x: float, last: bool) -> list[str]:
    """What meets after a stage, with its lines; and what goes on to the next stage."""
    parts = []
    middle, after = x + WIDTH / 2, x + PITCH
    if step.exchange:
        parts.append(_arrow(middle, RGB_ROW + HEIGHT, middle, MIDDLE_ROW))
        parts.append(_arrow(middle, THERMAL_ROW, middle, MIDDLE_ROW + HEIGHT))
        parts.append(_box(x, MIDDLE_ROW, step.exchange, "currentColor"))
    for row, stream in ((RGB_ROW, "rgb"), (THERMAL_ROW, "thermal")):
        if last:
            continue
        replaced = step.goes_on == "both" or (step.goes_on == "rgb" and stream == "rgb")
        if not replaced:
            parts.append(_arrow(x + WIDTH, row + HEIGHT / 2, after, row + HEIGHT / 2))
        else:
            side = 10 if stream == "rgb" else HEIGHT - 10
            end = row + HEIGHT - 8 if stream == "rgb" else row + 8
            parts.append(_arrow(x + WIDTH, MIDDLE_ROW + side, after, end))
    if step.decoded != "no":
        down = x + WIDTH + 12
        y = MIDDLE_ROW + HEIGHT / 2
        style = ' stroke-dasharray="4 3"' if step.decoded == "training" else ""
        path = f"M{x + WIDTH} {y:g}H{down}V{DECODER_ROW}"
        parts.append(f'<path d="{path}" stroke="currentColor" marker-end="url(#tip)"{style}/>')
    return parts


def _box(x: float, y: float, label: str, color: str, width: float = WIDTH) -> str:
    fill = "none" if color == "currentColor" else color
    frame = f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{HEIGHT}" rx="5" stroke="{color}" fill="{fill}" '
    return f'{frame}fill-opacity=".16"/>{_text(x + width / 2, y + 23, label, "middle")}'


def _arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path d="M{x1:g} {y1:g}L{x2:g} {y2:g}" stroke="currentColor" marker-end="url(#tip)"/>'


def _text(x: float, y: float, label: str, anchor: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="currentColor">{html.escape(label)}</text>'
