"""Pairing by time, and the offset of the clocks."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from cimnet.deploy.video.frames import Frame
from cimnet.deploy.video.pairing import chosen, pair_frames
from cimnet.deploy.video.sources import open_source
from cimnet.deploy.video.timing import estimate_offset
from cimnet.errors import DataError

from .films import Array, film, look, world, write_video

pytest.importorskip("av")


def frames(times: list[float]) -> list[Frame]:
    return [Frame(k, str(k), time, lambda: np.zeros((2, 2), np.uint8)) for k, time in enumerate(times)]


def partners(rgb: list[float], thermal: list[float], offset: float, max_gap: float) -> list[int | None]:
    pairs = pair_frames(iter(frames(rgb)), iter(frames(thermal)), offset, max_gap)
    return [None if pair.thermal is None else pair.thermal.index for pair in pairs]


def test_nearest_in_time_at_30_and_9_frames_a_second() -> None:
    rgb, thermal = [k / 30 for k in range(60)], [k / 9 for k in range(30)]
    for offset in (0.0, 0.35, 1.1):
        nearest = [int(np.abs(np.array(thermal) - (time + offset)).argmin()) for time in rgb]
        assert partners(rgb, thermal, offset, 1 / 9) == nearest


def test_sign_of_the_offset() -> None:
    assert partners([0.0, 1.0], [0.0, 1.0, 2.0], 1.0, 0.1) == [1, 2]  # thermal began a second earlier
    assert partners([0.0, 1.0, 2.0], [0.0, 1.0], -1.0, 0.1) == [None, 0, 1]


def test_variable_rates_and_gaps() -> None:
    assert partners([0, 0.1, 0.9, 1.0], [0.02, 0.12, 0.85], 0.0, 0.06) == [0, 1, 2, None]
    assert partners([0.5], [0.4, 0.6], 0.0, 0.2) == [0]
    assert partners([0.5], [], 0.0, 0.2) == [None]


def test_only_after_the_last_thermal_frame_none_will_come() -> None:
    pairs = pair_frames(iter(frames([0.0, 1.0, 2.0])), iter(frames([1.0])), 0.0, 0.1)
    assert [(pair.thermal is not None, pair.ended) for pair in pairs] == [(False, False), (True, False), (False, True)]


def test_chosen_part() -> None:
    picked = chosen(iter(frames([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])), 2, 0.1, 0.5)
    assert [frame.index for frame in picked] == [1, 3]


def test_times_are_those_of_the_file(tmp_path: Path) -> None:
    times = [0.0, 0.05, 0.2, 0.21, 0.5]
    ground = world()
    path = write_video(tmp_path / "v.mp4", [look(t, ground, False) for t in times], [t + 3 for t in times])
    assert [frame.time for frame in open_source(path, "rgb").frames()] == pytest.approx(times, abs=1e-4)


@pytest.mark.parametrize("offset", [-0.7, 0.0, 0.35])
def test_offset_is_found_within_a_thermal_frame(tmp_path: Path, offset: float) -> None:
    rgb, thermal = film(tmp_path, 5.0, offset, (20, 9))
    found = estimate_offset(open_source(rgb, "rgb").frames(), open_source(thermal, "thermal").frames())
    assert found.offset == pytest.approx(offset, abs=1 / 9)
    assert found.confidence > 0.25


@pytest.mark.parametrize("still", [False, True])
def test_unrelated_or_still_videos_are_refused(still: bool) -> None:
    ground, other, rng = world(1), world(2), np.random.default_rng(0)

    def noisy(image: Array) -> Array:
        return np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)

    def shown(images: list[Array], fps: float) -> list[Frame]:
        return [Frame(k, str(k), k / fps, partial(np.array, noisy(image))) for k, image in enumerate(images)]

    rgb = shown([look(0 if still else k / 15, ground, False) for k in range(90)], 15)
    thermal = shown([look(0, ground, True) if still else look(0.2 * k + 7, other, True) for k in range(54)], 9)
    found = estimate_offset(rgb, thermal, max_offset=2.0)
    assert found.offset is None
    assert found.confidence == 0
    assert "neither motion nor edges" in found.reason


def test_too_few_frames_to_estimate() -> None:
    with pytest.raises(DataError, match="the RGB video has 3 frames, too few"):
        estimate_offset(frames([0, 1, 2]), frames([0, 1, 2]))
