"""Signals that two cameras on one rig share at any wavelength: the motion of the picture, and the edges."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from cimnet.deploy.video.frames import Frame
from cimnet.deploy.video.smoothing import thumbnail
from cimnet.ops.edges import blur, orientation

SIZE = (72, 96)
"""Rows and columns to which videos are reduced, whatever their size."""
FEW = 12
"""Frames below which a video tells nothing about its timing."""

_AT_ONCE = 32  # frames

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Track:
    """A video at small size.

    Attributes:
        times: of the N frames, seconds.
        edges: (N, 2, h / 2, w / 2) orientation maps, float16.
        moved: (N − 1, 2) displacement (dx, dy) of the whole picture from frame to frame, pixels of the small size.
        changed: (N − 1) mean absolute change from frame to frame, in standard deviations of the frame.
    """

    times: Vector
    edges: Tensor
    moved: Vector
    changed: Vector

    @property
    def interval(self) -> float:
        """Median time between frames, seconds."""
        return float(np.median(np.diff(self.times)))

    def rates(self, grid: Vector, width: float) -> Vector:
        """(T, 3): speed in x and y and change a second, mean over `width` seconds around each time of the grid.

        Sums are interpolated, not rates, so that two videos of different frame rates give the same curves."""
        sums = np.vstack([np.zeros(3), np.cumsum(np.column_stack([self.moved, self.changed]), axis=0)])
        ends = [[np.interp(grid + side * width / 2, self.times, column) for column in sums.T] for side in (1, -1)]
        return (np.array(ends[0]) - np.array(ends[1])).T / width


def track(frames: Iterable[Frame], span: float) -> Track:
    """Look at the first `span` seconds of frames; takes 7 kB a frame."""
    times: list[float] = []
    edges: list[Tensor] = []
    steps: list[tuple[float, float, float]] = []
    last: list[Vector] = []
    waiting: list[npt.NDArray[np.float32]] = []

    def flush() -> None:
        if waiting:
            pictures = torch.from_numpy(np.stack(waiting))[:, None]
            edges.append(F.avg_pool2d(blur(orientation(pictures, 1.0), 1.0), 2).half())
            evened = [(p - p.mean()) / (p.std() + 1e-3) for p in blur(pictures, 1.0)[:, 0].double().numpy()]
            for first, second in pairwise([*last, *evened]):
                steps.append((*shift(first, second), float(np.abs(second - first).mean())))
            last[:] = evened[-1:]
            waiting.clear()

    for frame in frames:
        if times and frame.time - times[0] > span:
            break
        times.append(frame.time)
        waiting.append(thumbnail(frame.image, SIZE))
        if len(waiting) == _AT_ONCE:
            flush()
    flush()
    rows = np.array(steps).reshape(-1, 3)
    return Track(np.array(times), torch.cat(edges) if edges else torch.zeros(0, 2, *SIZE), rows[:, :2], rows[:, 2])


def shift(first: Vector, second: Vector) -> tuple[float, float]:
    """Displacement (dx, dy) of the picture (h, w) from the first frame to the second, in pixels: the whole part by
    phase correlation, the rest by least squares on the brightness."""
    window = np.outer(*(np.hanning(n) for n in first.shape))
    spectrum = np.fft.rfft2(second * window) * np.fft.rfft2(first * window).conj()
    size = np.abs(spectrum)
    peak = int(np.fft.irfft2(spectrum / (size + 1e-3 * size.max() + 1e-12), s=first.shape).argmax())
    whole = [step - n if step > n // 2 else step for step, n in zip(divmod(peak, SIZE[1]), first.shape, strict=True)]
    if max(abs(step) for step in whole) > min(first.shape) // 3:  # chance, not motion
        whole = [0, 0]
    moved = np.roll(second, (-whole[0], -whole[1]), (0, 1))
    inner = tuple(slice(abs(step) + 2, n - abs(step) - 2) for step, n in zip(whole, first.shape, strict=True))
    mean = (first + moved) / 2
    slopes = np.stack([np.gradient(mean, axis=axis)[inner].ravel() for axis in (0, 1)])  # of rows, of columns
    fine = np.linalg.solve(slopes @ slopes.T + 1e-3 * np.eye(2), slopes @ (first - moved)[inner].ravel()).clip(-2, 2)
    return whole[1] + float(fine[1]), whole[0] + float(fine[0])
