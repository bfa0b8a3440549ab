"""Leave out single thermal frames whose values cannot be used, such as those of a closed shutter."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from cimnet.errors import RangeError
from cimnet.utils.numbers import pluralize

FIRST, SECONDS = 10, 5.0
"""Frames that are all out of range, and the time that they take, before the unit is taken to be another one: a shutter
may be closed at the beginning."""
T = TypeVar("T")


class OddFrames:
    """Decides about the frames of one thermal stream that lie outside the range of training. Among others that do not,
    they are left out, noted and counted. If all do, the unit is another one, which is an error.

    Args:
        who: name of the stream, in messages.
        note: called with the first frame that is left out, and at the end with their number.
        remedy: what to do if only the first frames are out of range, in the message of the error.

    Attributes:
        count: number of frames left out.
    """

    def __init__(self, who: str, note: Callable[[str], object], remedy: str = "") -> None:
        self.who, self.note, self.remedy = who, note, remedy
        self.count = 0
        self._good = False
        self._error: RangeError | None = None
        self._first = self._last = float("nan")

    def __call__(self, use: Callable[[], T], time: float) -> T | None:
        """Return what `use` makes of the thermal frame of this time, seconds; None: the frame is left out.

        Raises:
            RangeError: no frame was in range so far, and these are `FIRST` and took `SECONDS`.
        """
        try:
            made = use()
        except RangeError as error:
            if time != self._last:  # one frame may serve several RGB frames
                self.count, self._last = self.count + 1, time
            if not self._good and self.count >= FIRST and time - self._first >= SECONDS:
                raise RangeError(f"{error}{self.remedy}") from error
            if self._error is None:
                self._error, self._first = error, time
                reason = str(error).removeprefix(f"{self.who}: ")
                self.note(f"{self.who}: the frame at {time:.2f} s is left out: {reason}")
            return None
        self._good = True
        return made

    def end(self) -> None:
        """Say how many were left out.

        Raises:
            RangeError: no frame was in range.
        """
        if self._error is not None and not self._good:
            raise self._error
        if self.count > 1:
            frames = pluralize(self.count, "frame")
            self.note(f"{self.who}: {frames} left out, as half of the values or more lie outside the range of training")
