"""Tiny videos: a texture that a camera wanders over, so that each frame tells when it was taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.uint8]
HEIGHT, WIDTH = 64, 96
TICKS = 90_000


def write_video(
    path: Path,
    frames: Sequence[npt.NDArray[Any]],
    times: Sequence[float],
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rotation: int | None = None,
    movflags: str | None = None,
    matrix: Sequence[int] | None = None,
) -> Path:
    """Encode images, grey (H, W) or RGB (H, W, 3), at these seconds."""
    import av

    options = {} if movflags is None else {"movflags": movflags}
    with av.open(str(path), "w", options=options) as container:
        quality = {"crf": "8", "preset": "veryfast", "bf": "0"} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=30, options=quality)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], pix_fmt
        stream.codec_context.time_base = Fraction(1, TICKS)
        if rotation is not None:
            stream.set_display_rotation(rotation)
        if matrix is not None:
            stream.set_display_matrix(matrix)
        for image, time in zip(frames, times, strict=True):
            layout = "rgb24" if image.ndim == 3 else "gray16le" if image.dtype == np.uint16 else "gray"
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format=layout).reformat(format=pix_fmt)
            frame.pts, frame.time_base = round(time * TICKS), Fraction(1, TICKS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def world(seed: int = 0) -> npt.NDArray[np.float32]:
    """Smooth blobs, (240, 320) in 0..1."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((40, 54)).astype(np.float32)
    y, x = np.linspace(0, 38.9, 240), np.linspace(0, 52.9, 320)
    i, j, fy, fx = y.astype(int), x.astype(int), (y % 1)[:, None], x % 1
    rows = coarse[i] * (1 - fy) + coarse[i + 1] * fy
    return (rows[:, j] * (1 - fx) + rows[:, j + 1] * fx).astype(np.float32)


def wander(time: float) -> tuple[int, int]:
    """Top and left corner of the view."""
    x = 100 + 60 * np.sin(1.3 * time) + 35 * np.sin(3.1 * time + 1)
    y = 80 + 50 * np.sin(1.7 * time + 2) + 25 * np.cos(2.9 * time)
    return int(np.clip(y, 0, 175)), int(np.clip(x, 0, 223))


def look(time: float, ground: npt.NDArray[np.float32], thermal: bool) -> Array:
    """What a camera sees then: grey (64, 96), inverted and bent for the thermal one; RGB in three tints."""
    top, left = wander(time)
    view = ground[top : top + HEIGHT, left : left + WIDTH]
    if thermal:
        return (40 + 170 * (1 - view) ** 1.5).astype(np.uint8)
    return (np.stack([view, view**2, 1 - 0.6 * view], axis=-1) * 255).astype(np.uint8)


def film(
    folder: Path,
    seconds: float = 0.7,
    offset: float = 0.0,
    fps: tuple[float, float] = (30, 9),
    see: Callable[..., Array] = look,
) -> tuple[Path, Path]:
    """An RGB and a thermal video whose clocks differ by `offset`: thermal began so many seconds earlier."""
    ground = world()
    paths = []
    for name, rate, began in (("rgb", fps[0], 0.0), ("thermal", fps[1], -offset)):
        times = np.arange(round(seconds * rate)) / rate
        frames = [see(began + time, ground, name == "thermal") for time in times]
        paths.append(write_video(folder / f"{name}.mp4", frames, times.tolist()))
    return paths[0], paths[1]
