"""Errors of other libraries, put into one line of a message."""

from __future__ import annotations

import errno
import os

import pytest

from cimnet.errors import one_line


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("two\n  lines\tof text "), "two lines of text"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a.png"), "No space left on device"),
        (OSError("no number"), "no number"),
        (AssertionError(), "AssertionError"),
        (ValueError(" \n"), "ValueError"),
        (ValueError("x" * 300), "x" * 200),
        ("a reason\nfrom elsewhere", "a reason from elsewhere"),
    ],
)
def test_one_line(error: object, text: str) -> None:
    assert one_line(error) == text


def test_the_longest_is_chosen_by_the_caller() -> None:
    assert one_line(ValueError("x" * 300), 7) == "x" * 7
    assert one_line(ValueError("x" * 300), None) == "x" * 300
