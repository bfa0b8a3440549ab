"""Videos whose time stamps do not grow: parts in one file, a clock that was set, stamps in disorder."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from cimnet.deploy.video.file_clock import FileClock
from cimnet.deploy.video.live.address import parse_address
from cimnet.deploy.video.live.feed import Feed
from cimnet.deploy.video.sources import open_source

from .films import look, world, write_video
from .live.waiting import wait_for

pytest.importorskip("av")


def clocked(stamps: Sequence[float | None]) -> tuple[list[tuple[float, int]], FileClock[int]]:
    """(time, number) of the frames that are kept, ten a second."""
    clock = FileClock[int](0.1)
    return [(round(seconds, 3), number) for seconds, number in clock((s, n) for n, s in enumerate(stamps))], clock


def test_a_new_beginning_goes_on_without_a_gap() -> None:
    found, clock = clocked([5.0, 6.0, 7.0, 1.0, 2.0, 3.0, 0.5, 1.5])
    assert found == [(0, 0), (1, 1), (2, 2), (2.1, 3), (3.1, 4), (4.1, 5), (4.2, 6), (5.2, 7)]
    assert (clock.first, clock.jumps, clock.left_out) == (5.0, 2, 0)
    assert clock.problems(Path("a.ts")) == [
        "a.ts: the time stamps jump back 2 times, first after 2.00 s; times go on from there without a gap"
    ]


@pytest.mark.parametrize(
    ("stamps", "kept"),
    [
        ([0.0, 1.0, 1.0, 2.0], [0, 1, 3]),  # twice at one time
        ([0.0, 0.1, 0.3, 0.2, 0.4], [0, 1, 2, 4]),  # in disorder
        ([0.0, 1.0, 2.0, 1.4, 1.7, 2.1], [0, 1, 2, 5]),  # parts that overlap
        ([0.0, 2.0, 4.0, 0.1, 6.0], [0, 1, 2, 4]),  # one stamp is wrong
        ([0.0, 2.0, 4.0, 0.1], [0, 1, 2]),
    ],
)
def test_other_frames_that_are_not_later_are_left_out(stamps: list[float | None], kept: list[int]) -> None:
    found, clock = clocked(stamps)
    assert found == [(stamps[number], number) for number in kept]
    [problem] = clock.problems(Path("a.ts"))
    assert (clock.jumps, clock.left_out) == (0, len(stamps) - len(kept))
    assert "left out, with time stamps that are not later than those before" in problem


def test_frames_without_time_stamps_are_counted() -> None:
    found, clock = clocked([None, None, None])
    assert found == [(0, 0), (0.1, 1), (0.2, 2)]
    assert (clock.first, clock.problems(Path("a.ts"))) == (None, [])


def two_parts(folder: Path, kind: str) -> Path:
    """Two recordings of 2 s, one behind the other in one file."""
    times = [number / 5 for number in range(10)]
    parts = [
        write_video(folder / f"{start}.ts", [look(start + t, world(), kind == "thermal") for t in times], times)
        for start in (0, 2)
    ]
    whole = folder / f"{kind}.ts"
    whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    return whole


def test_no_frame_of_two_recordings_in_one_file_is_lost(tmp_path: Path) -> None:
    source = open_source(two_parts(tmp_path, "rgb"), "rgb")
    times = [frame.time for frame in source.frames()]
    assert len(times) == 20
    assert [b - a for a, b in pairwise(times)] == pytest.approx([0.2] * 9 + [source.interval] + [0.2] * 9, abs=1e-3)
    [problem] = source.problems
    assert problem.startswith(f"{tmp_path / 'rgb.ts'}: the time stamps jump back 1 time, first after 1.80 s")


def test_what_was_wrong_is_known_of_a_part_too(tmp_path: Path) -> None:
    source = open_source(two_parts(tmp_path, "thermal"), "thermal")
    for number, _ in enumerate(source.frames()):
        if number == 12:
            break
    assert len(source.problems) == 1


def test_live_plays_on_where_time_stamps_jump_back(tmp_path: Path) -> None:
    address = parse_address(str(two_parts(tmp_path, "rgb")), "--rgb")
    feed = Feed(address, "rgb", threading.Condition(), time.monotonic() - 3.5)  # most of it is due
    feed.start()
    try:
        wait_for(lambda: feed.state == "ended", 20)
    finally:
        feed.stop()
        feed.join(5)
    times = [frame.time for frame in feed.frames]
    assert (feed.received, feed.clock.jumps) == (20, 1)
    assert times == sorted(times)
