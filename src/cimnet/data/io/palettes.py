"""Which palette was burnt into a thermal picture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_KNOWN = (
    "inferno", "magma", "plasma", "viridis", "cividis", "turbo", "jet", "hot", "gnuplot2", "gnuplot", "rainbow",
    "gist_rainbow", "nipy_spectral", "coolwarm", "bone", "copper", "hsv", "afmhot", "CMRmap", "seismic",
)  # fmt: skip
_NEAR = 12.0  # mean distance in 0..255 that JPEG and resampling may leave


def name_palette(values: npt.NDArray[np.uint8]) -> str | None:
    """The palette (matplotlib's name; "gnuplot2" and "inferno" resemble FLIR's iron) whose colours an image (H, W, 3)
    uint8 is made of; None for no known one, or where greys are not much further from it than these."""
    from matplotlib import colormaps  # takes a while, and is needed for error messages only

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
