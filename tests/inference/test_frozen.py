"""A camera that hangs but goes on sending."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cimnet.inference.frozen import FROZEN_AFTER, FrozenWatch

RATE = 10  # frames a second


def watched(pictures: Sequence[int], every: float = 1 / RATE) -> list[str]:
    """The notes about frames; pictures of one number are the same."""
    notes: list[str] = []
    watch = FrozenWatch("thermal", notes.append)
    for index, picture in enumerate(pictures):
        watch(np.full((4, 5), picture, np.uint16), index * every)
    return notes


def test_a_frozen_picture_is_told_once_and_when_it_is_over() -> None:
    seconds = round(FROZEN_AFTER) + 3
    frozen, back = watched([*range(20), *[7] * (seconds * RATE + 1), *range(20)])
    assert frozen == f"thermal: the picture has been the same for {FROZEN_AFTER:g} s; does the camera hang?"
    assert back == f"thermal: the picture changes again; it was the same for {seconds:.1f} s"


def test_what_is_no_frozen_camera() -> None:
    assert watched([1, 1] * 40, every=0.0) == [], "one frame, given again for RGB frames of a faster camera"
    assert watched([1] * 30 + [2] * 30) == [], "a shutter of three seconds"
    assert watched([1, 2] * 60) == []


def test_each_stretch_is_told() -> None:
    long = [0] * 80 + [1] * 80
    assert len(watched(long)) == 3  # frozen, changes, frozen
