"""Sliding windows with blended overlaps, in memory that does not grow with the image.

Each window's probabilities are weighed by a taper that falls to almost nothing at its edges, so that no pixel depends
on where a window ends. Windows run row by row; as soon as no further window touches a row of pixels, it is handed
over. Wide images are cut into strips of `STRIP` columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]
Read = Callable[[int, int, int, int], Pair | None]
"""(top, left, height, width) to RGB (3, h, w) and thermal (1, h, w) in 0..1; None where there is nothing to see."""
Probabilities = Callable[[Tensor, Tensor], Tensor]
"""RGB (B, 3, h, w) and thermal (B, 1, h, w) to (B, K, h, w) on the CPU."""

STRIP = 4096
STRIDE = 32
"""Windows start at multiples of it, the encoders' stride.
Else their masks differ more (docs/notebook/deployment.md)."""


class Block(NamedTuple):
    """A finished part of an image: its first row and column, probabilities (K, rows, columns) float32, not normalised
    to 1 where `Read` gave nothing (0 there)."""

    top: int
    left: int
    probabilities: Tensor


@dataclass(frozen=True)
class Windows:
    """A grid of windows over an image.

    Attributes:
        height, width: of the image, pixels.
        size: side of a window; smaller images have one window of their own size.
        overlap: share of a window's side that it shares with the next one, 0 to 0.75; a little more where that
            lets windows start at multiples of `STRIDE`.
        shift: by how many pixels the inner windows are moved; to measure seams.
    """

    height: int
    width: int
    size: int
    overlap: float = 0.5
    shift: int = 0

    def starts(self, length: int) -> list[int]:
        """First pixel of each window along an axis; the last one ends with the image."""
        last = length - min(self.size, length)
        step = max(1, round(self.size * (1 - self.overlap)))
        step -= step % STRIDE if step > STRIDE else 0
        return sorted({0, *range(self.shift, last, step), last})

    def taper(self, length: int) -> npt.NDArray[np.float32]:
        """Weight of each pixel along a window's side: 1 in the middle, falling like a cosine where windows overlap."""
        width = max(1.0, min(self.overlap, 0.5) * length)
        inside = np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5
        weight = np.sin(0.5 * np.pi * np.minimum(inside / width, 1.0)) ** 2
        return np.maximum(weight, 1e-4).astype(np.float32)  # at the image's own border there is nothing else

    def weight(self, length: int) -> npt.NDArray[np.float32]:
        """Sum of the weights that each pixel along an axis gets from all windows."""
        side = min(self.size, length)
        total = np.zeros(length, dtype=np.float32)
        for start in self.starts(length):
            total[start : start + side] += self.taper(side)
        return total

    def strips(self) -> list[tuple[int, int]]:
        """First and last (excluded) column of each strip."""
        count = -(-self.width // STRIP)
        edges = [round(k * self.width / count) for k in range(count + 1)]
        return list(pairwise(edges))

    def __len__(self) -> int:
        """Number of blocks that `stitch_windows` yields."""
        return len(self.strips()) * len(self.starts(self.height))


def stitch_windows(
    windows: Windows,
    read: Read,
    probabilities: Probabilities,
    classes: int,
    batch_size: int = 1,
    skip: int = 0,
) -> Iterator[Block]:
    """Run a model over all windows and yield blocks of the image, from top to bottom, strip by strip.

    Args:
        classes: K.
        batch_size: windows in one pass of the model.
        skip: blocks handed over by an earlier, interrupted call: they are left out, and of their windows only those
            are run that reach into the blocks to come.
    """
    tops, rows = windows.starts(windows.height), min(windows.size, windows.height)
    columns = min(windows.size, windows.width)
    total_y, total_x = (torch.from_numpy(windows.weight(n)) for n in (windows.height, windows.width))
    taper = torch.from_numpy(np.outer(windows.taper(rows), windows.taper(columns)))
    number = -1  # of the block
    for first, last in windows.strips():
        lefts = [x for x in windows.starts(windows.width) if x < last and x + columns > first]
        origin, span = lefts[0], lefts[-1] + columns - lefts[0]
        sums = torch.zeros(classes, rows, span)  # from the current row of windows down
        for place, top in enumerate(tops):
            number += 1
            end = tops[place + 1] if place + 1 < len(tops) else windows.height
            finished = end - top
            reached = sum(1 for other in tops[place:] if other < top + rows)  # blocks that this row reaches into
            if number + reached - 1 >= skip:
                for x, found in _row(read, probabilities, top, lefts, rows, columns, batch_size):
                    sums[:, :, x - origin : x - origin + columns] += found * taper
            if number >= skip:
                inside = slice(first - origin, last - origin)
                norm = total_y[top:end, None] * total_x[None, first:last]
                yield Block(top, first, sums[:, :finished, inside] / norm)
            if place + 1 < len(tops):
                for plane in sums:  # one after the other: no second copy of all
                    plane[: rows - finished] = plane[finished:].clone()
                    plane[rows - finished :] = 0


def _row(
    read: Read, probabilities: Probabilities, top: int, lefts: list[int], rows: int, columns: int, batch_size: int
) -> Iterator[tuple[int, Tensor]]:
    """Column and probabilities (K, rows, columns) of each window of a row that shows something."""
    waiting: list[tuple[int, Pair]] = []
    for x in lefts:
        pair = read(top, x, rows, columns)
        if pair is not None:
            waiting.append((x, pair))
        if waiting and (len(waiting) == batch_size or x == lefts[-1]):
            rgb, thermal = (torch.stack([pair[k] for _, pair in waiting]) for k in (0, 1))
            yield from zip([x for x, _ in waiting], probabilities(rgb, thermal), strict=True)
            waiting = []
