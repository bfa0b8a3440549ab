"""Recognise the palette of a thermal picture, and undo it if nothing was lost."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import numpy.typing as npt

from cimnet.utils.colors import pack_rgb

_KNOWN = (
    "inferno", "magma", "plasma", "viridis", "cividis", "turbo", "jet", "hot", "gnuplot2", "gnuplot", "rainbow",
    "gist_rainbow", "nipy_spectral", "coolwarm", "bone", "copper", "hsv", "afmhot", "CMRmap", "seismic",
)  # fmt: skip
_NEAR = 12.0  # mean distance in 0..255 that JPEG and resampling may leave
_COLOURS = 8  # different ones from which it can be told which palette they are of
_APART = 5  # places of a palette that may share a colour, from the first to the last


def name_palette(values: npt.NDArray[np.uint8]) -> str | None:
    """The palette (matplotlib's name; "gnuplot2" and "inferno" resemble FLIR's iron) whose colours an image (H, W, 3)
    uint8 is made of; None for no known one, or where greys are not much further from it than these."""
    from matplotlib import colormaps  # takes a while, and is needed for pictures in colours only

    pixels = values.reshape(-1, 3)
    pixels = pixels[:: max(1, len(pixels) // 1500)].astype(np.float32)
    ramp = np.linspace(0, 1, 128)
    distances = {}
    for name in (*_KNOWN, "gray"):
        colors = (255 * colormaps[name](ramp)[:, :3]).astype(np.float32)
        squares = (pixels**2).sum(1)[:, None] - 2 * pixels @ colors.T + (colors**2).sum(1)
        distances[name] = float(np.sqrt(squares.min(axis=1).clip(0)).mean())
    best = min(_KNOWN, key=distances.__getitem__)
    return best if distances[best] < min(_NEAR, distances["gray"] / 2) else None  # a photo at night is nearly grey


def undo_palette(values: npt.NDArray[np.uint8]) -> tuple[str, npt.NDArray[np.uint8]] | None:
    """The palette of an image (H, W, 3) uint8 of which every pixel has exactly one of its 256 colours, and the place
    (H, W) uint8 of each pixel on it; None where that is no known palette or more than one, or where colours are few."""
    packed = pack_rgb(values)
    colours, where = np.unique(packed, return_inverse=True)
    if len(colours) < _COLOURS:
        return None
    found: dict[str, npt.NDArray[np.uint8]] = {}
    for name, ramp, places in _tables():
        position = np.searchsorted(ramp, colours).clip(0, len(ramp) - 1)
        if name not in found and (ramp[position] == colours).all():
            found[name] = places[position]
    if len(found) != 1:
        return None
    name, levels = next(iter(found.items()))
    return name, levels[where].reshape(packed.shape)


@cache
def _tables() -> tuple[tuple[str, npt.NDArray[np.int32], npt.NDArray[np.uint8]], ...]:
    """Return name, colours in rising order and the place of each colour, for each palette that can be undone. Each
    palette occurs twice, because programs round or truncate colours. OpenCV's jet is a palette of its own."""
    return tuple(_each_table())


def _each_table() -> Iterator[tuple[str, npt.NDArray[np.int32], npt.NDArray[np.uint8]]]:
    from matplotlib import colormaps

    exact = {name: 255 * colormaps[name](np.arange(256))[:, :3] for name in _KNOWN}
    rounded = [(name, how(table)) for name, table in exact.items() for how in (np.rint, np.floor)]
    opencv_jet = np.rint(382.5 - np.abs(4 * np.arange(256)[:, None] - 255 * np.array([3, 2, 1]))).clip(0, 255)
    opencv_jet[159, 2] = 1  # where its table leaves the formula
    for name, table in (*rounded, ("jet", opencv_jet)):
        packed = pack_rgb(table.astype(np.uint8))
        colours = np.unique(packed)
        first = np.array([np.flatnonzero(packed == colour)[0] for colour in colours])
        last = np.array([np.flatnonzero(packed == colour)[-1] for colour in colours])
        if (last - first).max() < _APART:
            yield name, colours, ((first + last) // 2).astype(np.uint8)
