"""Figures for the HTML reports, each as a data URI with all its pixels."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from cimnet.data import IGNORE_INDEX
from cimnet.utils.colors import Color, Image8, colorize

Field = npt.NDArray[np.floating[Any]]

CORRECT: Color = (205, 217, 230)
OUTLINE: Color = (160, 178, 198)
IGNORED: tuple[Color, Color] = (255, 255, 255), (150, 150, 150)
STATIC_ARROW, MOVING_ARROW = "#56b4e9", "#f0e442"
_WIDTH = 480  # pixels of the pictures in the report; larger images are reduced to it


class Picture(NamedTuple):
    """A picture as data URIs.

    Attributes:
        light: for every page; `dark`: for dark ones, where it differs.
        alt: its content, in words.
    """

    light: str
    alt: str
    dark: str = ""


def _theme(ink: str, muted: str, line: str) -> Any:
    """Settings of matplotlib for a page whose text has the colour ``ink``."""
    inked = ("text.color", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color")
    return {
        **dict.fromkeys(inked, ink),
        **dict.fromkeys(("axes.edgecolor", "grid.color"), muted),
        **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), "none"),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "lines.color": line,
        "font.size": 9,
        "svg.hashsalt": "cimnet",  # the same figure gives the same file
        "text.parse_math": False,  # class names may hold a dollar sign
    }


_THEMES = {"light": _theme("#1c2733", "#8592a0", "#0072b2"), "dark": _theme("#dde5ee", "#75828f", "#56b4e9")}


def themed(draw: Callable[[], Figure], alt: str) -> Picture:
    """A matplotlib figure as two SVG files, one each for light and dark pages."""
    uris = {}
    for theme, settings in _THEMES.items():
        with matplotlib.rc_context(settings):
            buffer = io.BytesIO()
            draw().savefig(buffer, format="svg", metadata={"Date": None})
            uris[theme] = _uri(buffer.getvalue(), "svg+xml")
    return Picture(uris["light"], alt, uris["dark"])


def photo(image: Image8, alt: str) -> Picture:
    """An RGB (H, W, 3) or grey (H, W) image, at most 480 pixels wide, as JPEG."""
    buffer = io.BytesIO()
    picture = Image.fromarray(image)
    picture.thumbnail((_WIDTH, 4 * _WIDTH), Image.Resampling.LANCZOS)
    picture.save(buffer, "JPEG", quality=85)
    return Picture(_uri(buffer.getvalue(), "jpeg"), alt)


def drawing(image: Image8, alt: str) -> Picture:
    """Flat colours (H, W, 3), at most 480 pixels wide, as PNG; no colour is mixed with another."""
    buffer = io.BytesIO()
    picture = Image.fromarray(image)
    if picture.width > _WIDTH:
        height = max(1, round(picture.height * _WIDTH / picture.width))
        picture = picture.resize((_WIDTH, height), Image.Resampling.NEAREST)
    picture.save(buffer, "PNG", optimize=True)
    return Picture(_uri(buffer.getvalue(), "png"), alt)


def paint_label(label: npt.NDArray[np.integer[Any]], colors: Sequence[Color]) -> Image8:
    """Class ids (H, W) in their colours, (H, W, 3); pixels marked 255 (ignore) are hatched."""
    return _hatch(colorize(label, colors), label)


def paint_errors(
    label: npt.NDArray[np.integer[Any]], prediction: npt.NDArray[np.integer[Any]], colors: Sequence[Color]
) -> Image8:
    """Paint the errors of a prediction, (H, W, 3): wrong pixels in the colour of the predicted class, right ones pale
    with the outlines of the true label, ignored ones hatched."""
    edge = np.zeros(label.shape, dtype=bool)
    edge[1:] |= label[1:] != label[:-1]
    edge[:, 1:] |= label[:, 1:] != label[:, :-1]
    right = np.where(edge[..., None], _rgb(OUTLINE), _rgb(CORRECT))
    wrong = (prediction != label)[..., None]
    return _hatch(np.where(wrong, paint_label(prediction, colors), right), label)


def _rgb(color: Color) -> Image8:
    return np.array(color, dtype=np.uint8)


def _hatch(image: Image8, label: npt.NDArray[np.integer[Any]]) -> Image8:
    rows, columns = np.indices(label.shape)
    period = max(6, label.shape[1] // 60)
    stripes = ((rows + columns) % period < period // 3)[..., None]
    pattern = np.where(stripes, _rgb(IGNORED[1]), _rgb(IGNORED[0]))
    return np.where((label == IGNORE_INDEX)[..., None], pattern, image)


def draw_curve(history: list[dict[str, float]], key: str) -> Figure:
    """One quantity over the epochs; the best mIoU is ringed."""
    points = [(row["epoch"], row[key]) for row in history if key in row]
    figure = Figure(figsize=(3.4, 2.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(*np.transpose(points), marker="o", markersize=3, color=matplotlib.rcParams["lines.color"])
    if key == "miou":
        best = max(points, key=lambda point: -math.inf if math.isnan(point[1]) else point[1])
        axes.plot(*best, marker="o", markersize=9, markerfacecolor="none", markeredgecolor="#d55e00", markeredgewidth=2)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.grid(alpha=0.3)
    return figure


def draw_arrows(backdrop: Image8, offset: Field, moving: npt.NDArray[np.bool_], alt: str) -> tuple[Picture, float]:
    """:func:`plot_arrows` as a picture, and its factor."""
    figure, factor = plot_arrows(backdrop, offset, moving)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="jpg", pil_kwargs={"quality": 88})
    return Picture(_uri(buffer.getvalue(), "jpeg"), alt), factor


def plot_arrows(backdrop: Image8, offset: Field, moving: npt.NDArray[np.bool_]) -> tuple[Figure, float]:
    """Arrows of an offset field over a darkened image.

    Args:
        backdrop: grey, (H, W).
        offset: (2, H, W), (dy, dx) in pixels; arrows start at the pixel.
        moving: (H, W), pixels on moving things: their arrows are denser and of another colour.

    Returns:
        The figure, and the factor by which the arrows are drawn longer than the offsets.
    """
    height, width = backdrop.shape
    step = max(8, width // 16)
    grid, fine = (np.zeros((height, width), dtype=bool) for _ in range(2))
    grid[step // 2 :: step, step // 2 :: step] = True
    fine[step // 8 :: max(2, step // 3), step // 8 :: max(2, step // 3)] = True
    shown = (grid & ~moving) | (fine & moving)
    rows, columns = np.nonzero(shown)
    dy, dx = offset[:, rows, columns]
    factor = _round_factor(1.1 * step, np.hypot(dy, dx))
    figure = Figure(figsize=(4.8, 4.8 * height / width), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(backdrop * 0.55, cmap="gray", vmin=0, vmax=255, aspect="auto")
    colors = np.where(moving[rows, columns], MOVING_ARROW, STATIC_ARROW)
    axes.quiver(
        columns, rows, factor * dx, factor * dy, color=colors, angles="xy", scale_units="xy", scale=1,
        width=0.006, headwidth=4, headlength=4.5, headaxislength=4, minlength=0.3,
    )  # fmt: skip
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    axes.axis("off")
    return figure, factor


def rasterize(figure: Figure) -> Image8:
    """A matplotlib figure as pixels (H, W, 3)."""
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _round_factor(target: float, lengths: Field) -> float:
    """A factor with one significant digit that brings long arrows near the target length."""
    long = float(np.quantile(lengths, 0.95)) if lengths.size else 0.0
    if not long > 1e-6:
        return 1.0
    return float(f"{target / long:.0e}")


def _uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
