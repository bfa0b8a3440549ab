"""Steadier masks: probabilities averaged over frames."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import numpy.typing as npt
import PIL.Image

from cimnet.deploy.video.frames import Frame, Image
from cimnet.errors import DataError

CUT = 0.13
"""Mean change of small pictures (of 0..1) from which the next frame belongs to another shot."""
_SMALL = (12, 16)


class CutDetector:
    """Tells where a new shot begins: RGB or thermal change as a whole, not only where something moves."""

    def __init__(self) -> None:
        self.last: list[npt.NDArray[np.float32]] | None = None

    def __call__(self, rgb: Image, thermal: Image | None) -> bool:
        """Whether this frame, RGB (H, W, 3) and thermal (H, W), is the first of a shot; the very first one is."""
        small = [thumbnail(rgb, _SMALL)] + ([] if thermal is None else [thumbnail(thermal, _SMALL)])
        last, self.last = self.last, small
        if last is None or len(last) != len(small):
            return True
        return any(float(np.abs(a - b).mean()) > CUT for a, b in zip(last, small, strict=True))


def count_shots(frames: Iterator[Frame]) -> Iterator[Frame]:
    """Number the shots of a source by its neighbouring frames, also for a caller that uses some of them only."""
    begins, shot = CutDetector(), 0
    for frame in frames:
        with suppress(DataError):  # a picture that cannot be read is of the shot before
            shot += begins(frame.image, None)
        frame.shot = shot
        yield frame


class Average:
    """Exponential average of probabilities: share `smooth` of what was, the rest of what is."""

    def __init__(self, smooth: float) -> None:
        self.smooth = smooth
        self.state: npt.NDArray[np.float32] | None = None

    def __call__(self, probabilities: npt.NDArray[np.float32], new_shot: bool) -> npt.NDArray[np.uint8]:
        """Class ids (H, W) of the average with this frame's (K, H, W); of this frame alone where a shot begins."""
        if self.state is None or new_shot:
            self.state = probabilities.copy()
        else:
            self.state += (1 - self.smooth) * (probabilities - self.state)
        return self.state.argmax(axis=0).astype(np.uint8)


def thumbnail(image: Image, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """A small grey picture, float32 (height, width): 8 bit in 0..1, other depths by their own range."""
    grey = PIL.Image.fromarray(image).convert("L") if image.ndim == 3 else PIL.Image.fromarray(_plain(image))
    small = np.asarray(grey.resize(size[::-1], PIL.Image.Resampling.BOX), dtype=np.float32)
    if image.dtype == np.uint8:
        return small / np.float32(255)
    low, high = np.percentile(small, (1, 99))
    return np.clip((small - low) / max(float(high - low), 1e-6), 0, 1).astype(np.float32)


def _plain(image: Image) -> Image:
    """8-bit values as they are, others as floats: what Pillow can shrink."""
    return image if image.dtype == np.uint8 else image.astype(np.float32)
