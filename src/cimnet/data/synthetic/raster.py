"""Rasterising shapes, noise and blur with elementwise IEEE arithmetic only.

Nothing here calls a transcendental function on an array or a linear-algebra routine: those differ in the last bit
between processors, and two machines would then write different bytes for the same seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Point = tuple[float, float]


class Patch(NamedTuple):
    """The part of an image that a shape covers: a window and the coverage (0..1, float32) of its pixels."""

    rows: slice
    cols: slice
    alpha: Array

    @property
    def window(self) -> tuple[slice, slice]:
        return self.rows, self.cols


class View:
    """A window on the world: pixel (i, j) looks at x = x0 + (j + 0.5) / scale, y = y0 + (i + 0.5) / scale."""

    def __init__(self, x0: float, y0: float, scale: float, height: int, width: int) -> None:
        self.x0, self.y0, self.scale, self.height, self.width = x0, y0, scale, height, width
        self.xs: Array = (x0 + (np.arange(width) + 0.5) / scale).astype(np.float32)
        self.ys: Array = (y0 + (np.arange(height) + 0.5) / scale).astype(np.float32)

    def window(self, left: float, top: float, right: float, bottom: float) -> tuple[slice, slice] | None:
        """Rows and columns that cover a rectangle of the world, or None if it lies outside the view."""
        j0 = max(int((left - self.x0) * self.scale) - 1, 0)
        i0 = max(int((top - self.y0) * self.scale) - 1, 0)
        j1 = min(int((right - self.x0) * self.scale) + 2, self.width)
        i1 = min(int((bottom - self.y0) * self.scale) + 2, self.height)
        return (slice(i0, i1), slice(j0, j1)) if i0 < i1 and j0 < j1 else None


class Frame:
    """Local coordinates around an object: u along its heading, v to its right; both in world pixels.

    A point at height h is drawn h pixels higher up in the image (the world is seen obliquely), which moves local
    coordinates by a constant: every shape takes that height as `up`."""

    def __init__(self, view: View, rows: slice, cols: slice, at: Point, cos: float, sin: float) -> None:
        self.rows, self.cols, self.scale, self.cos, self.sin = rows, cols, view.scale, cos, sin
        x, y = view.xs[cols] - at[0], (view.ys[rows] - at[1])[:, None]
        self.left, self.top = float(view.xs[cols.start]) - at[0], float(view.ys[rows.start]) - at[1]
        self.u: Array = x * cos + y * sin
        self.v: Array = y * cos - x * sin

    def rect(self, u: Point, v: Point, up: float = 0.0) -> Patch:
        """The rectangle u[0]..u[1], v[0]..v[1]."""
        mid_u, half_u = (u[0] + u[1]) / 2 - up * self.sin, (u[1] - u[0]) / 2
        mid_v, half_v = (v[0] + v[1]) / 2 - up * self.cos, (v[1] - v[0]) / 2
        rows, cols = self._crop(mid_u, mid_v, half_u, half_v)
        edge = 0.5 / self.scale
        inside = (half_u + edge) - np.abs(self.u[rows, cols] - mid_u)
        np.minimum(inside, (half_v + edge) - np.abs(self.v[rows, cols] - mid_v), out=inside)
        inside *= self.scale
        return self._patch(rows, cols, inside)

    def ellipse(self, at: Point, radii: Point, up: float = 0.0) -> Patch:
        """An ellipse along the axes of the frame."""
        mid_u, mid_v = at[0] - up * self.sin, at[1] - up * self.cos
        rows, cols = self._crop(mid_u, mid_v, *radii)
        inside = (self.u[rows, cols] - mid_u) * (1.0 / radii[0])
        inside *= inside
        dv = (self.v[rows, cols] - mid_v) * (1.0 / radii[1])
        dv *= dv
        inside += dv
        np.sqrt(inside, out=inside)
        inside *= -min(radii) * self.scale
        inside += min(radii) * self.scale + 0.5
        return self._patch(rows, cols, inside)

    def stripes(self, patch: Patch, along: str, origin: float, pitch: float, share: float) -> Patch:
        """Bands of a patch: along "u" or "v", the first `share` of every `pitch` pixels from `origin` on."""
        rows = slice(patch.rows.start - self.rows.start, patch.rows.stop - self.rows.start)
        cols = slice(patch.cols.start - self.cols.start, patch.cols.stop - self.cols.start)
        place = ((self.u if along == "u" else self.v)[rows, cols] - origin) * (1.0 / pitch)
        band = (place - np.floor(place) < share).astype(np.float32)
        return Patch(patch.rows, patch.cols, patch.alpha * band)

    def _crop(self, mid_u: float, mid_v: float, half_u: float, half_v: float) -> tuple[slice, slice]:
        """The part of the window that a shape of this middle and these half sizes can touch."""
        x = mid_u * self.cos - mid_v * self.sin - self.left
        y = mid_u * self.sin + mid_v * self.cos - self.top
        reach_x = abs(half_u * self.cos) + abs(half_v * self.sin)
        reach_y = abs(half_u * self.sin) + abs(half_v * self.cos)
        rows = slice(max(int((y - reach_y) * self.scale) - 1, 0), max(int((y + reach_y) * self.scale) + 3, 0))
        cols = slice(max(int((x - reach_x) * self.scale) - 1, 0), max(int((x + reach_x) * self.scale) + 3, 0))
        return rows, cols

    def _patch(self, rows: slice, cols: slice, alpha: Array) -> Patch:
        np.maximum(alpha, 0.0, out=alpha)
        np.minimum(alpha, 1.0, out=alpha)
        top, left = self.rows.start + rows.start, self.cols.start + cols.start
        height, width = alpha.shape
        return Patch(slice(top, top + height), slice(left, left + width), alpha)


def frame(view: View, at: Point, cos: float, sin: float, reach: float, up: float = 0.0) -> Frame | None:
    """Local coordinates in the window that reaches `reach` around a point and `up` above it."""
    found = view.window(at[0] - reach, at[1] - reach - up, at[0] + reach, at[1] + reach)
    return Frame(view, *found, at, cos, sin) if found else None


def coverage(distance: Array, scale: float) -> Array:
    """Return the share of a pixel that lies inside, from the signed distance (world pixels, positive inside) to the
    edge."""
    alpha: Array = distance * scale
    alpha += 0.5
    np.maximum(alpha, 0.0, out=alpha)
    return np.minimum(alpha, 1.0, out=alpha)


def polygon(view: View, points: Sequence[Point]) -> Patch | None:
    """A convex polygon, corners in either order; None if it lies outside the view or has no area."""
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    found = view.window(min(xs), min(ys), max(xs), max(ys))
    if found is None:
        return None
    edges = [(*a, *b) for a, b in zip(points, [*points[1:], points[0]], strict=True)]
    area = sum(ax * by - bx * ay for ax, ay, bx, by in edges)
    if abs(area) < 1e-6:
        return None
    x, y = view.xs[found[1]], view.ys[found[0]][:, None]
    alpha = np.ones((y.shape[0], x.shape[0]), np.float32)
    for ax, ay, bx, by in edges:
        length = math.sqrt((bx - ax) * (bx - ax) + (by - ay) * (by - ay))
        if length > 1e-3:
            unit = (view.scale if area > 0 else -view.scale) / length
            nx, ny = (ay - by) * unit, (bx - ax) * unit
            np.minimum(alpha, x * nx + (y * ny + (0.5 - nx * ax - ny * ay)), out=alpha)
    return Patch(*found, np.maximum(alpha, 0.0, out=alpha))


def hull(points: Sequence[Point]) -> list[Point]:
    """The convex hull (Andrew's monotone chain), counter-clockwise."""
    ordered = sorted(set(points))

    def chain(run: Sequence[Point]) -> list[Point]:
        out: list[Point] = []
        for x, y in run:
            while len(out) > 1:
                (ax, ay), (bx, by) = out[-2:]
                if (bx - ax) * (y - ay) > (by - ay) * (x - ax):
                    break
                out.pop()
            out.append((x, y))
        return out[:-1]

    return chain(ordered) + chain(ordered[::-1])


def sweep(points: Sequence[Point], dx: float, dy: float) -> list[Point]:
    """The convex region that a convex polygon covers while it moves by (dx, dy)."""
    return hull([*points, *((x + dx, y + dy) for x, y in points)])


class Lattice:
    """Value noise: random numbers on a grid of `cell` world pixels, smoothly interpolated; values in 0..1."""

    def __init__(self, generator: np.random.Generator, cell: float, width: float, height: float, margin: float):
        self.cell, self.margin = cell, margin
        shape = (int((height + 2 * margin) / cell) + 3, int((width + 2 * margin) / cell) + 3)
        self.values: Array = generator.integers(0, 65536, shape, dtype=np.uint16) * np.float32(1 / 65536)

    def sample(self, view: View) -> Array:
        """The noise at every pixel of a view, float32 (H, W)."""
        (iy, fy), (ix, fx) = self._axis(view.ys), self._axis(view.xs)
        rows = self.values[iy]
        rows += (self.values[iy + 1] - rows) * fy[:, None]
        left = np.take(rows, ix, axis=1)
        left += (np.take(rows, ix + 1, axis=1) - left) * fx
        return left

    def _axis(self, at: Array) -> tuple[Array, Array]:
        position = (at + self.margin) * (1.0 / self.cell)
        index = np.floor(position)
        part = position - index
        return index.astype(np.int64), part * part * (3.0 - 2.0 * part)


def _quantiles(count: int) -> Array:
    """Evenly spaced quantiles, of unit deviation, of the sum of four bytes: nearly a Gaussian, and exact."""
    ways: Array = np.ones(1, np.int64)
    for _ in range(4):
        ways = np.convolve(ways, np.ones(256, np.int64))
    ranks = (2 * np.arange(count) + 1) * (256**4 // (2 * count))
    quantiles: Array = np.searchsorted(np.cumsum(ways), ranks, side="right").astype(np.float32)
    quantiles -= 510.0
    quantiles *= np.float32(1 / 147.8)
    return quantiles


_QUANTILES = _quantiles(4096)


def grain(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Nearly Gaussian noise of zero mean and unit deviation, float32."""
    words = generator.integers(0, 65536, shape, dtype=np.uint16)
    noise: Array = np.take(_QUANTILES, words >> np.uint16(4))
    return noise


def soften(image: Array, passes: int) -> Array:
    """Blur with the kernel 1 2 1 along both axes, `passes` times (variance 0.5 px² each), edges repeated."""
    for _ in range(passes):
        for axis in (0, 1):
            wide = np.pad(image, [(1, 1) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
            a, b, c = (wide[:-2], wide[1:-1], wide[2:]) if axis == 0 else (wide[:, :-2], wide[:, 1:-1], wide[:, 2:])
            image = (a + c) * 0.25 + b * 0.5
    return image


def box_blur(image: Array, radius: int, passes: int = 3) -> Array:
    """Repeated box filter of an integer image, edges repeated: close to a Gaussian, and exact."""
    total = image.astype(np.int64)
    side = 2 * radius + 1
    for _ in range(passes):
        for axis in (0, 1):
            wide = np.pad(total, [(radius + 1, radius) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
            sums = np.cumsum(wide, axis=axis)
            head = sums[side:] if axis == 0 else sums[:, side:]
            tail = sums[:-side] if axis == 0 else sums[:, :-side]
            total = (head - tail + side // 2) // side
    return total


def bilinear(image: Array, rows: Array, cols: Array) -> Array:
    """Values of an (H, W) image at fractional indices; indices beyond the edge take the edge's value."""
    height, width = image.shape
    rows = np.minimum(np.maximum(rows, np.float32(0.0)), np.float32(height - 1.01))
    cols = np.minimum(np.maximum(cols, np.float32(0.0)), np.float32(width - 1.01))
    i, j = rows.astype(np.int32), cols.astype(np.int32)
    rows -= i.astype(np.float32)
    cols -= j.astype(np.float32)
    flat, at = image.reshape(-1), i * np.int32(width) + j
    top: Array = np.take(flat, at)
    low: Array = np.take(flat, at + np.int32(width))
    top += (np.take(flat, at + np.int32(1)) - top) * cols
    low += (np.take(flat, at + np.int32(width + 1)) - low) * cols
    low -= top
    low *= rows
    top += low
    return top
