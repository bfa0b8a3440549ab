"""2×3 matrices that say where in the thermal image the pixel (x, y) of the RGB image is seen: x right, y down, whole
numbers at the centres of pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

Matrix = npt.NDArray[np.float64]


def identity() -> Matrix:
    """No displacement."""
    return np.eye(2, 3)


def compose(second: Matrix, first: Matrix) -> Matrix:
    """The matrix of `first`, then `second`."""
    return (square(second) @ square(first))[:2]


def square(matrix: Matrix) -> Matrix:
    """(2, 3) with the row 0 0 1 below."""
    return np.vstack([matrix, [0.0, 0.0, 1.0]])


def resize(old: tuple[int, int], new: tuple[int, int]) -> Matrix:
    """Return the matrix from pixels of an image of (height, width) `old` to those of the same image at `new`."""
    fy, fx = new[0] / old[0], new[1] / old[1]
    return np.array([[fx, 0.0, (fx - 1) / 2], [0.0, fy, (fy - 1) / 2]])


def offset(matrix: Matrix, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """(2, H, W), (dy, dx) in pixels: the displacement by the matrix at each (y, x)."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float64)
    dx = matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] - x
    dy = matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] - y
    return np.stack([dy, dx]).astype(np.float32)


def corner_offsets(matrix: Matrix, size: tuple[int, int]) -> Matrix:
    """(4, 2), (dx, dy) at the corners of an image (height, width)."""
    height, width = size
    corners = np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], np.float64)
    return corners @ (matrix[:, :2].T - np.eye(2)) + matrix[:, 2]


def warp(image: Tensor, matrix: Matrix, size: tuple[int, int], edge: bool = False) -> tuple[Tensor, Tensor]:
    """Bring a thermal image into the frame of the RGB image.

    Args:
        image: (B, C, H, W) floats.
        size: (height, width) of the RGB image.

    Returns:
        (B, C, height, width), bilinear; where the thermal image has no values, 0, or with `edge` its nearest value. And
        (height, width) bool: where it has values.
    """
    m = torch.as_tensor(matrix, dtype=torch.float32)
    y, x = torch.meshgrid(torch.arange(size[0]) * 1.0, torch.arange(size[1]) * 1.0, indexing="ij")
    u, v = m[0, 0] * x + m[0, 1] * y + m[0, 2], m[1, 0] * x + m[1, 1] * y + m[1, 2]
    return sample(image, u, v, edge)


def sample(image: Tensor, u: Tensor, v: Tensor, edge: bool = False) -> tuple[Tensor, Tensor]:
    """Values of images (B, C, H, W) at columns u and rows v, each (h, w); results and `edge` as for `warp`."""
    height, width = image.shape[-2:]
    inside = (u >= -0.5) & (u <= width - 0.5) & (v >= -0.5) & (v <= height - 0.5)
    grid = torch.stack(((2 * u + 1) / width - 1, (2 * v + 1) / height - 1), dim=-1)
    values = F.grid_sample(image, grid.expand(len(image), -1, -1, -1), padding_mode="border", align_corners=False)
    return (values if edge else values * inside), inside
