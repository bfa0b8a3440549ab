"""Frames of the overlay video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from cimnet.inference.overlay import overlay_mask, to_bytes
from cimnet.utils.colors import Color, Image8

View = Literal["overlay", "side", "none"]


def compose(
    rgb: Image8,
    thermal: npt.NDArray[np.float32],
    mask: Image8,
    colors: Sequence[Color],
    bar: Image8 | None,
    view: View,
    opacity: float,
) -> Image8:
    """The overlay, or RGB, thermal and overlay side by side, above the legend.

    Args:
        rgb, thermal, mask: (H, W, 3), (H, W) in 0..1 and class ids (H, W).
        bar: a legend of all classes, the same in every frame, as wide as the picture; None: without.
    """
    shown = overlay_mask(rgb, mask, colors, opacity)
    if view == "side":
        shown = np.hstack([rgb, np.repeat(to_bytes(thermal)[..., None], 3, axis=2), shown])
    return shown if bar is None else np.vstack([shown, bar])
