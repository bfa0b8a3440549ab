"""The figure of CIMNet's parts, as SVG for light and for dark pages: docs/images/architecture_{light,dark}.svg.

    python benchmarks/draw_architecture.py

The colours are Okabe and Ito's, which colour-blind readers can tell apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
SIZE = (1060, 470)
PAGES = {"light": ("#ffffff", "#1f2328", "#57606a"), "dark": ("#0d1117", "#e6edf3", "#9aa4ae")}
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
TOP, MIDDLE, BOTTOM, DECODER = 70, 210, 350, 430
COLUMNS = (130, 400, 610, 820)
"""Left edges of the stages."""


@dataclass
class Drawing:
    """Shapes of one picture."""

    background: str
    ink: str
    faint: str
    shapes: list[str] = field(default_factory=list)

    def box(self, x: float, y: float, width: float, height: float, color: str, *lines: str) -> None:
        """A rounded box around the middle height y, with lines of text."""
        self.shapes.append(
            f'<rect x="{x}" y="{y - height / 2}" width="{width}" height="{height}" rx="6" fill="{color}" '
            f'fill-opacity="0.16" stroke="{color}" stroke-width="1.6"/>'
        )
        for number, line in enumerate(lines):
            self.text(x + width / 2, y + 5 + 17 * (number - (len(lines) - 1) / 2), line, bold=number == 0)

    def text(
        self, x: float, y: float, words: str, *, bold: bool = False, faint: bool = False, anchor: str = "middle"
    ) -> None:
        """Words around x, with their base line at y."""
        color, weight, size = self.faint if faint else self.ink, 600 if bold else 400, 13 if bold else 12
        self.shapes.append(
            f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" '
            f'fill="{color}">{escape(words)}</text>'
        )

    def arrow(self, *points: tuple[float, float], color: str | None = None, dashed: bool = False) -> None:
        """A line through points with a head at its end."""
        path = " L".join(f"{x},{y}" for x, y in points)
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        color = color or self.faint
        self.shapes.append(
            f'<path d="M{path}" fill="none" stroke="{color}" stroke-width="1.6"{dash} '
            f'marker-end="url(#head{color[1:]})"/>'
        )

    def plus(self, x: float, y: float) -> None:
        """Where what comes back is added to a stream."""
        self.shapes.append(f'<circle cx="{x}" cy="{y}" r="8" fill="{self.background}" stroke="{self.faint}"/>')
        self.text(x, y + 5, "+", bold=True)

    def svg(self) -> str:
        """The whole file."""
        width, height = SIZE
        heads = "".join(
            f'<marker id="head{color[1:]}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            f'orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="{color}"/></marker>'
            for color in (self.faint, BLUE, ORANGE, GREEN, PURPLE)
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
            f'font-family="system-ui, sans-serif"><title>CIMNet: two encoders, rectification after each stage, fusion, '
            f'one decoder</title><defs>{heads}</defs><rect width="{width}" height="{height}" '
            f'fill="{self.background}"/>{"".join(self.shapes)}</svg>\n'
        )


def draw(colors: tuple[str, str, str]) -> str:
    """CIMNet as in :mod:`cimnet.models.cimnet`."""
    page = Drawing(*colors)
    page.box(14, TOP, 84, 44, BLUE, "RGB", "3 × H × W")
    page.box(14, BOTTOM, 84, 44, ORANGE, "thermal", "1 × H × W")
    page.arrow((98, TOP), (COLUMNS[0] - 2, TOP), color=BLUE)
    page.arrow((98, BOTTOM), (COLUMNS[0] - 2, BOTTOM), color=ORANGE)
    for n, x in enumerate(COLUMNS):
        draw_stage(page, n, x)
    page.box(
        COLUMNS[0], DECODER, COLUMNS[-1] + 142 - COLUMNS[0], 36, PURPLE, "MLP decoder: the four fused maps to logits"
    )
    page.arrow((COLUMNS[-1] + 142, DECODER), (1046, DECODER), color=PURPLE)
    page.text(1008, DECODER - 12, "K × H × W", faint=True)
    page.text(14, 24, "encoders at 1/4, 1/8, 1/16 and 1/32 of the image", faint=True, anchor="start")
    return page.svg()


def draw_stage(page: Drawing, n: int, x: float) -> None:
    """Both encoders' stage n + 1, what they exchange, and their fusion."""
    page.box(x, TOP, 92, 44, BLUE, f"stage {n + 1}", "encoder")
    page.box(x, BOTTOM, 92, 44, ORANGE, f"stage {n + 1}", "encoder")
    first = n == 0
    left = x if not first else x + 110
    source = x + 30
    if first:
        page.box(x, MIDDLE, 84, 88, GREEN, "CIPA", "L_mi, first", "offsets δ⁰")
        page.arrow((x + 84, MIDDLE - 26), (left - 2, MIDDLE - 26), color=GREEN, dashed=True)
        page.arrow((x + 84, MIDDLE + 22), (left - 2, MIDDLE + 22))
    page.arrow((source, TOP + 22), (source, MIDDLE - 46), color=BLUE)
    page.arrow((source, BOTTOM - 22), (source, MIDDLE + 46), color=ORANGE)
    page.box(left, MIDDLE, 84, 88, GREEN, "SCSFR", "spatial, then", "channel")
    page.arrow((left + 84, MIDDLE + 22), (left + 104, MIDDLE + 22))
    page.box(left + 106, MIDDLE + 22, 50, 36, PURPLE, "FFM")
    page.arrow((left + 131, MIDDLE + 40), (left + 131, DECODER - 20), color=PURPLE)
    if n == len(COLUMNS) - 1:
        return
    following = COLUMNS[n + 1]
    page.arrow((left + 84, MIDDLE - 26), (following - 2, MIDDLE - 26), color=GREEN, dashed=True)
    page.text(left + 131 if not first else left + 125, MIDDLE - 33, "δ" + "¹²³"[n] + " / 2", faint=True)
    meet = left + 110
    for y, color, toward in ((TOP, BLUE, -1), (BOTTOM, ORANGE, 1)):
        page.arrow((x + 92, y), (following - 2, y), color=color)
        page.arrow(
            (left + 60, MIDDLE + 44 * toward),
            (left + 60, MIDDLE + 72 * toward),
            (meet, MIDDLE + 72 * toward),
            (meet, y - 10 * toward),
        )
        page.plus(meet, y)


def main() -> None:
    for name, colors in PAGES.items():
        path = IMAGES / f"architecture_{name}.svg"
        path.write_text(draw(colors), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
