"""Images without content: which images are blank, which cells of an image are lost, and modules that leave blank ones
out."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

BLACK = 2.5 / 255
"""Up to this, of 0..1, a pixel is black: video compression leaves two grey levels."""
CELL = 4
"""Image pixels along a cell: of the lost ones, and of explicit alignment's cost volume."""


def present_mask(image: Tensor) -> Tensor:
    """Mark the images of (B, C, H, W) that show anything: (B,) bool, false where all pixels are alike."""
    return (image.amax((2, 3)) > image.amin((2, 3))).any(1)  # by channel: normalised, black has three values


def shown_cells(above_black: Tensor) -> Tensor:
    """Mark the cells of 4×4 pixels that are not lost, given by how much pixels are above black: (B, C, H, W), H and W
    multiples of four. Lost are rows and columns that are black over their whole length: a link dropped them, or they
    lie beyond the border of a registered image. Elsewhere, black may be a dark or a cold place.

    Returns:
        (B, 1, H/4, W/4) bool
    """
    brightest = above_black.amax(1, keepdim=True)
    rows = F.max_pool2d(brightest.amax(3, keepdim=True), (CELL, 1))
    columns = F.max_pool2d(brightest.amax(2, keepdim=True), (1, CELL))
    return (rows > 0) & (columns > 0)


def run_on_present(module: Callable[[Tensor], Tensor], x: Tensor, there: Tensor | None, training: bool) -> Tensor:
    """Run a module on the images (B, …) that are present (None: all); the maps of missing ones are zero.

    In training, missing ones are left out of the batch, so that they do not take part in batch statistics either.
    """
    if there is None:
        return module(x)
    shape = (-1,) + (1,) * (x.ndim - 1)
    if not training or not there.any():
        return module(x) * there.view(shape).to(x.dtype)
    found = module(x[there])
    return found.new_zeros(len(x), *found.shape[1:]).index_copy(0, there.nonzero()[:, 0], found)
