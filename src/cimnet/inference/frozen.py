"""Notice a camera that hangs but goes on sending."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

FROZEN_AFTER = 5.0
"""Seconds for which a picture must be the same. A thermal camera whose shutter closes to calibrate needs about one."""


class FrozenWatch:
    """Compares the pictures of one stream. Those of a working camera differ at least by noise; a camera that hangs
    sends one over and over. A recording may repeat pictures of a still scene, too, so this says what it sees and
    changes nothing.

    Args:
        who: name of the stream, in messages.
        note: called when a picture has been the same for `FROZEN_AFTER`, and when it changes again.

    Attributes:
        frozen: whether it is the same now.
    """

    def __init__(self, who: str, note: Callable[[str], object]) -> None:
        self.who, self.note = who, note
        self.frozen = False
        self._picture: npt.NDArray[Any] | None = None
        self._since = self._until = 0.0

    def __call__(self, picture: npt.NDArray[Any], time: float) -> None:
        """Take the next picture and its time in seconds. A frame that comes again, with its time, says nothing."""
        if self._picture is not None and time == self._until:
            return
        if self._picture is None or not np.array_equal(picture, self._picture):
            if self.frozen:
                self.note(
                    f"{self.who}: the picture changes again; it was the same for {self._until - self._since:.1f} s"
                )
            self._picture, self._since, self.frozen = picture, time, False
        self._until = time
        if not self.frozen and time - self._since >= FROZEN_AFTER:
            self.frozen = True
            self.note(f"{self.who}: the picture has been the same for {FROZEN_AFTER:g} s; does the camera hang?")
