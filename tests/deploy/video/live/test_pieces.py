"""Clocks, pairs, addresses and settings of live streams."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimnet.deploy.video.frames import Frame
from cimnet.deploy.video.live.address import parse_address
from cimnet.deploy.video.live.clock import JUMP, StreamClock
from cimnet.deploy.video.live.feed import KEPT, Feed
from cimnet.deploy.video.live.newest_pair import least_gap, newest_pair, why_no_pair
from cimnet.deploy.video.live.settings import LiveSettings
from cimnet.errors import ConfigError, DataError


@given(st.lists(st.floats(0, 0.5), min_size=20, max_size=60), st.floats(-1e6, 1e6))
def test_the_least_delay_stands_for_none(delays: list[float], start: float) -> None:
    """Whatever the stamps count from, times differ from when frames were taken by the least delay alone."""
    clock = StreamClock()
    found = [clock(start + n / 30, 100 + n / 30 + delay) for n, delay in enumerate(delays)]
    least = min(delays)
    assert found[-1] - (100 + (len(delays) - 1) / 30) == pytest.approx(least, abs=0.01)
    steps = [b - a for a, b in zip(found[-3:], found[-2:], strict=False)]
    assert all(step == pytest.approx(1 / 30, abs=0.52) for step in steps)


def test_stamps_that_jump_begin_anew() -> None:
    clock = StreamClock()
    assert clock(5000.0, 10.0) == 10.0
    assert clock(5001.0, 11.0) == 11.0
    assert clock(0.0, 12.0) == 12.0  # the sender was started again
    assert clock(1.0, 13.0) == 13.0
    assert clock(9000.0, 14.0) == 14.0  # its clock was set
    assert clock.jumps == 2
    assert clock(9001.0, 15.0 + JUMP + 1) == 15.0 + JUMP + 1  # it was paused
    assert clock.jumps == 3
    assert clock(None, 20.0) == 20.0


def frame(time: float) -> Frame:
    return Frame(0, "", time, lambda: None)


def test_the_newest_frame_that_has_a_partner() -> None:
    rgb = [frame(t / 30) for t in range(12)]
    thermal = [frame(t / 9 + 0.5) for t in range(3)]  # its clock is 0.5 s ahead
    found = newest_pair(rgb, thermal, 0.5, 0.02, float("-inf"))
    assert found is not None
    assert found[0].time == pytest.approx(7 / 30)
    assert found[1].time == pytest.approx(2 / 9 + 0.5)
    assert newest_pair(rgb, thermal, 0.5, 0.02, 7 / 30) is None
    assert newest_pair(rgb, [], 0.0, 1.0, float("-inf")) is None
    assert newest_pair(rgb, thermal, 0.0, 0.02, float("-inf")) is None
    assert least_gap(rgb, thermal, 0.0) == pytest.approx(0.5 - 11 / 30)
    assert least_gap([], thermal, 0.0) is None


def feed(hold: float) -> Feed:
    return Feed(parse_address("udp://127.0.0.1:5000", "--rgb"), "rgb", threading.Condition(), 0.0, hold=hold)


@pytest.mark.parametrize("offset", [1.0, -1.0, 0.0])
def test_frames_are_held_until_those_of_a_late_stream_come(offset: float) -> None:
    """Two cameras of 30 frames a second: each thermal frame finds the RGB frame of its moment, a second later."""
    rgb, thermal = feed(max(0.0, offset)), feed(max(0.0, -offset))
    pairs, after = [], float("-inf")
    for number in range(120):
        rgb._add(frame(number / 30))
        thermal._add(frame(number / 30 + 0.001))
        pair = newest_pair(list(rgb.frames), list(thermal.frames), offset, 0.005, after)
        if pair is not None:
            pairs.append(pair)
            after = pair[0].time
    assert len(pairs) == 120 - 30 * abs(offset)
    assert all(two.time - offset - one.time == pytest.approx(0.001) for one, two in pairs)
    assert [len(one.frames) for one in (rgb, thermal)] == [KEPT + 30 * (wait > 0) for wait in (offset, -offset)]
    assert not rgb.overfull


def test_frames_that_do_not_fit_into_memory_are_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cimnet.deploy.video.live.feed.MOST_HELD", 20 * 1000)
    held, short = feed(1.0), feed(0.0)
    for number in range(60):
        for one in (held, short):
            one._add(Frame(number, "", number / 30, lambda: None, size=1000))
    assert held.overfull
    assert [len(held.frames), len(short.frames)] == [20, KEPT]
    assert not short.overfull
    held = feed(1.0)
    for number in range(60):  # the clock starts anew now and then
        held._add(frame(-5.0 * number))
    assert len(held.frames) == KEPT


def test_an_offset_is_named_only_where_both_hold_frames_of_one_time() -> None:
    rgb = [frame(t / 30) for t in range(12)]
    near, late = [frame(t / 30 + 0.015) for t in range(12)], [frame(t / 30 - 20) for t in range(12)]
    assert "the nearest is +0.015 s off; give --offset 0.015" in why_no_pair(rgb, near, 0.0, 0.01)
    said = why_no_pair(rgb, late, 0.0, 0.01)
    assert "the newest frames are -20.00 s apart by their times (thermal − RGB); measure the offset" in said
    assert "give --offset" not in said
    assert why_no_pair(rgb, near, 0.0, 0.02) == why_no_pair(rgb, [], 0.0, 0.02) == ""


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://admin:p@ss/w:rd@10.0.0.2:554/1", "rtsp://…@10.0.0.2:554/1"),
        ("rtsp://10.0.0.2/user=admin&password=x1&channel=1", "rtsp://10.0.0.2/user=…&password=…&channel=1"),
        ("rtsp://10.0.0.2/live?token=abc&stream=0", "rtsp://10.0.0.2/live?token=…&stream=0"),
        ("udp://10.0.0.2:5000?fifo_size=10", "udp://10.0.0.2:5000?fifo_size=10"),
    ],
)
def test_no_password_is_shown(address: str, shown: str) -> None:
    assert parse_address(address, "--rgb").text == shown


def test_kinds_of_addresses(tmp_path: Path) -> None:
    film = tmp_path / "a.mp4"
    film.write_bytes(b"0")
    os.mkfifo(tmp_path / "pipe")
    assert parse_address("rtsp://user:secret@10.0.0.2:554/1", "--rgb").text == "rtsp://…@10.0.0.2:554/1"
    assert parse_address("udp://127.0.0.1:5000", "--rgb").medium == "network"
    assert parse_address(str(film), "--rgb").medium == "file"
    assert parse_address(str(film), "--rgb").target.startswith("file:/")
    assert parse_address(str(tmp_path), "--rgb").medium == "folder"
    assert parse_address(str(tmp_path / "pipe"), "--rgb").medium == "pipe"
    assert parse_address("-", "--rgb").medium == "pipe"
    assert parse_address("/dev/zero", "--rgb").format == "v4l2"  # any device; V4L2 will say no


@pytest.mark.parametrize("address", ["http://10.0.0.2/a.m3u8", "file:///etc/passwd", "concat://a", "HTTPS://x/y"])
def test_other_addresses_are_not_opened(address: str) -> None:
    with pytest.raises(ConfigError, match="rtsp://"):
        parse_address(address, "--rgb")
    with pytest.raises(DataError, match="--thermal nothing: No such file"):
        parse_address("nothing", "--thermal")


@pytest.mark.parametrize(
    ("field", "value"),
    [("tolerance", 0.0), ("lost_after", 0.0), ("wait", 0.0), ("duration", -1.0), ("opacity", 2.0), ("offset", 10.1)],
)
def test_settings_out_of_range(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=field):
        LiveSettings(**{field: value})
