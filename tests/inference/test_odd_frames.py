"""Single thermal frames out of range, among others and alone."""

from __future__ import annotations

import pytest

from cimnet.errors import DataError, RangeError
from cimnet.inference.odd_frames import FIRST, OddFrames


def refuse() -> int:
    raise RangeError("t.mkv: 100% outside")


def test_frames_among_others_are_left_out_and_counted() -> None:
    notes: list[str] = []
    odd = OddFrames("t.mkv", notes.append)
    assert odd(lambda: 7, 0.0) == 7
    for number in range(2 * FIRST):
        assert odd(refuse, 1.0 + number // 2) is None  # each serves two RGB frames
    odd.end()
    assert odd.count == FIRST
    assert notes == [
        "t.mkv: the frame at 1.00 s is left out: 100% outside",
        "t.mkv: 10 frames left out, as half of the values or more lie outside the range of training",
    ]


def test_nothing_but_such_frames_is_an_error() -> None:
    odd = OddFrames("t.mkv", lambda _: None, "; begin later")
    for number in range(FIRST - 1):
        assert odd(refuse, number) is None
    with pytest.raises(RangeError, match=r"outside$"):
        odd.end()
    with pytest.raises(RangeError, match=r"outside; begin later$"):
        odd(refuse, FIRST)


def test_a_shutter_that_is_closed_at_the_beginning_ends_no_run() -> None:
    notes: list[str] = []
    odd = OddFrames("t.mkv", notes.append)
    for number in range(60):
        assert odd(refuse, 1000 + number / 30) is None
    assert odd(lambda: 7, 1002.0) == 7
    for number in range(300):
        assert odd(refuse, 1003 + number / 30) is None
    odd.end()
    assert odd.count == 360
    assert len(notes) == 2


def test_other_errors_are_passed_on() -> None:
    def fail() -> int:
        raise DataError("another depth")

    with pytest.raises(DataError, match="another depth"):
        OddFrames("t.mkv", lambda _: None)(fail, 0.0)
