"""Frames and their sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy.typing as npt

Kind = Literal["rgb", "thermal"]
Image = npt.NDArray[Any]


@dataclass
class Frame:
    """One frame; its picture is converted when first asked for.

    Attributes:
        index: number in the source, from 0.
        name: of the frame's mask: six digits, or the image's own name.
        time: seconds since the source's first frame; if the names of both sensors' images hold times or count together,
            or both are streams of one file, since the first RGB frame.
        size: bytes of memory that it takes before its picture is converted; 0: not known.
        shot: number of the shot in the source, where shots are counted; else 0.
        image: RGB (H, W, 3) uint8, or raw thermal values (H, W).
    """

    index: int
    name: str
    time: float
    read: Callable[[], Image] = field(repr=False)
    size: int = 0
    shot: int = 0

    @cached_property
    def image(self) -> Image:
        return self.read()


class Source(Protocol):
    """A source of frames.

    Attributes:
        path: file or folder.
        interval: mean time between frames, seconds.
        total: number of frames as announced, None where nothing is.
        duration: seconds from the first frame to the end of the last, as announced; None where nothing is.
        problems: what was wrong with it, known after `frames` has run.
        start: time of the first frame in seconds since 1970, where the names of the images hold it; else None.
    """

    path: Path
    interval: float
    total: int | None
    duration: float | None
    problems: list[str]
    start: float | None

    def frames(self) -> Iterator[Frame]:
        """Yield all frames in order of time."""
