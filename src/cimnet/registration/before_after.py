"""A figure of a pair before and after its alignment, for a person to judge."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from cimnet.ops.edges import blur
from cimnet.registration.matrices import Matrix, resize, warp


def plot_pair(rgb: npt.NDArray[Any], thermal: npt.NDArray[Any], matrix: Matrix | None) -> Figure:
    """RGB in grey with the edges of the thermal image in orange: as they are, and under the matrix.

    Args:
        rgb, thermal: (H, W, 3) and (H, W).
        matrix: 2×3; None: only the left picture.
    """
    size = (rgb.shape[0], rgb.shape[1])
    given = resize(size, (thermal.shape[0], thermal.shape[1]))
    shown = {"as it is": given} if matrix is None else {"as it is": given, "aligned": matrix}
    figure = Figure(figsize=(7 * len(shown), 7 * size[0] / size[1] + 0.4), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(shown)))
    grey = np.repeat(rgb.mean(axis=2, keepdims=True) / 255, 3, axis=2)
    for axis, (title, m) in zip(axes, shown.items(), strict=True):
        moved, inside = warp(torch.from_numpy(thermal.astype(np.float32))[None, None], m, size, edge=True)
        edges = (_edges(moved) * inside.numpy())[..., None]  # the rim of the thermal image is none
        axis.imshow(np.clip(0.75 * grey * (1 - edges) + edges * np.array([1.0, 0.55, 0.0]), 0, 1))
        axis.set_title(title, fontsize=10)
        axis.set_axis_off()
    return figure


def _edges(image: torch.Tensor) -> npt.NDArray[np.float32]:
    """Gradient magnitude of (1, 1, H, W), 0..1 by its 98th percentile."""
    smooth = F.pad(blur(image, 1.0), (1, 1, 1, 1), mode="replicate")[0, 0]
    gx, gy = smooth[1:-1, 2:] - smooth[1:-1, :-2], smooth[2:, 1:-1] - smooth[:-2, 1:-1]
    strength = torch.hypot(gx, gy).numpy()
    return np.clip(strength / max(float(np.percentile(strength, 98)), 1e-6), 0, 1).astype(np.float32)
