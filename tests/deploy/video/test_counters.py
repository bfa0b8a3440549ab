"""Folders of numbered images: which numbers are which moment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from PIL import Image

import cimnet
from cimnet.data.io.thermal_files import Wanted
from cimnet.deploy.video import predict_video
from cimnet.deploy.video.predict_video import open_sources
from cimnet.deploy.video.sources import open_source
from cimnet.deploy.video.video_settings import VideoSettings
from tests.conftest import Trained

from .films import film, look, world
from .test_predict import table

pytest.importorskip("av")


def folder(place: Path, name: str, numbers: Iterable[int], form: str = "frame_{:04d}") -> Path:
    """Grey images of 8x8."""
    (place / name).mkdir()
    for number in numbers:
        Image.new("L" if name == "thermal" else "RGB", (8, 8)).save(place / name / f"{form.format(number)}.png")
    return place / name


def times(rgb: Path, thermal: Path, fps: float = 10, thermal_fps: float = 10) -> tuple[list[float], list[float], str]:
    """Of both folders' images, and what was noted."""
    notes: list[str] = []
    asked = VideoSettings(fps=fps, thermal_fps=thermal_fps)
    _, sources = open_sources(rgb, thermal, asked, notes.append, Wanted())
    one, other = ([round(frame.time, 4) for frame in source.frames()] for source in sources)
    return one, other, "\n".join([*notes, *sources[0].problems, *sources[1].problems])


@pytest.mark.parametrize(("form", "other"), [("frame_{:04d}", "frame_{:04d}"), ("rgb_{}", "ir_{}"), ("{}_V", "{}_T")])
def test_a_camera_that_began_later_is_paired_by_the_numbers(tmp_path: Path, form: str, other: str) -> None:
    rgb = folder(tmp_path, "rgb", range(10), form)
    one, two, notes = times(rgb, folder(tmp_path, "thermal", range(3, 10), other))
    assert one == [n / 10 for n in range(10)]
    assert two == [n / 10 for n in range(3, 10)]
    assert "begin with 0 (RGB) and 3 (thermal): equal numbers are taken for equal moments" in notes
    assert "if both folders begin at the same moment, give --time-offset 0.3" in notes


def test_a_gap_shifts_no_later_pair(tmp_path: Path) -> None:
    rgb, thermal = folder(tmp_path, "rgb", range(1000, 1010)), folder(tmp_path, "thermal", [*range(1000, 1004), 1006])
    one, two, notes = times(rgb, thermal)
    assert one == [n / 10 for n in range(10)]
    assert two == [0, 0.1, 0.2, 0.3, 0.6]
    assert notes == f"{thermal}: 2 numbers left out; times follow the numbers"


def test_a_thermal_camera_that_began_earlier_has_negative_times(tmp_path: Path) -> None:
    one, two, _ = times(folder(tmp_path, "rgb", range(12, 15)), folder(tmp_path, "thermal", range(10, 15)))
    assert (one, two) == ([0, 0.1, 0.2], [-0.2, -0.1, 0, 0.1, 0.2])


def test_every_third_number_at_a_third_of_the_rate(tmp_path: Path) -> None:
    _, two, _ = times(folder(tmp_path, "rgb", range(30)), folder(tmp_path, "thermal", range(6, 30, 3)), 30, 10)
    assert two == [round(n / 30, 4) for n in range(6, 30, 3)]


def test_numbers_that_count_something_else_still_tell_the_partner(tmp_path: Path) -> None:
    """Picked images: what is missing in one folder only is a gap, what is missing in both is none."""
    rgb, thermal = folder(tmp_path, "rgb", [12, 530, 931, 1400]), folder(tmp_path, "thermal", [12, 931, 1400])
    one, two, _ = times(rgb, thermal)
    assert (one, two) == ([0, 0.1, 0.2, 0.3], [0, 0.2, 0.3])


@pytest.mark.parametrize(
    ("numbers", "form", "rate", "expected"),
    [
        (range(500, 505), "frame_{:04d}", 10, "no number is in both: both .*; if .* give --time-offset -50$"),
        (range(2, 7), "FLIR{:04d}", 10, "names differ otherwise, too: .* give --time-offset -0.2$"),
        (range(2, 7), "frame_{:04d}", 5, "images come 10 and 5 a second: .*; give --time-offset otherwise$"),
    ],
)
def test_counters_that_need_not_be_one_begin_at_the_same_moment(
    tmp_path: Path, numbers: range, form: str, rate: float, expected: str
) -> None:
    rgb, thermal = folder(tmp_path, "rgb", range(10)), folder(tmp_path, "thermal", numbers, form)
    one, two, notes = times(rgb, thermal, 10, rate)
    assert (one[0], two) == (0, [round(n / rate, 4) for n in range(5)])
    assert re.search(expected, notes)


@pytest.mark.parametrize(
    ("numbers", "thermal_numbers", "remedy"),
    [
        (range(0, 300, 10), range(30), "; if equal numbers mean equal moments, give --thermal-fps 30$"),
        (range(30), range(0, 300, 10), "; if equal numbers mean equal moments, give --thermal-fps 0.3$"),
        (range(30), range(0, 60, 2), "; if equal numbers mean equal moments, give --thermal-fps 1.5$"),
        (range(10, 310, 10), range(30), "; if equal numbers mean equal moments, give --thermal-fps 30$"),
        ([*range(0, 300, 10), 295], range(30), "; give --time-offset or another --thermal-fps otherwise$"),
    ],
)
def test_counters_in_other_steps_at_one_rate_are_paired_by_position_with_a_note(
    tmp_path: Path, numbers: Sequence[int], thermal_numbers: Sequence[int], remedy: str
) -> None:
    """Renumbered images share some numbers by chance."""
    rgb, thermal = folder(tmp_path, "rgb", numbers), folder(tmp_path, "thermal", thermal_numbers)
    one, two, notes = times(rgb, thermal, 3, 3)
    assert one == [round(n / 3, 4) for n in range(len(numbers))]
    assert two == [round(n / 3, 4) for n in range(len(thermal_numbers))]
    assert "but the numbers of both go in different steps: both folders are taken to begin at the same moment" in notes
    assert re.search(remedy, notes)


def test_one_irregular_number_stretches_no_clock(tmp_path: Path) -> None:
    source = open_source(folder(tmp_path, "rgb", [*range(0, 300, 10), 295]), "rgb", 3)
    assert [frame.time for frame in source.frames()] == [n / 3 for n in range(31)]
    assert not source.problems


def test_the_remedy_pairs_equal_numbers(tmp_path: Path) -> None:
    rgb, thermal = folder(tmp_path, "rgb", range(10, 310, 10)), folder(tmp_path, "thermal", range(30))
    one, two, notes = times(rgb, thermal, 3, 30)
    assert (one[1], two[10], two[20]) == (round(1 / 3, 4), 0, round(1 / 3, 4))
    assert "equal numbers are taken for equal moments" in notes


def test_other_names_count_as_before(tmp_path: Path) -> None:
    """Without a number, or with several that change, images come one after the other."""
    rgb = folder(tmp_path, "rgb", [])
    for name in ("a", "b2", "c"):
        Image.new("RGB", (8, 8)).save(rgb / f"{name}.png")
    assert [frame.time for frame in open_source(rgb, "rgb", 10).frames()] == [0, 0.1, 0.2]
    assert times(rgb, folder(tmp_path, "thermal", range(5, 8)))[1:] == ([0, 0.1, 0.2], "")


def test_pairs_of_a_late_thermal_folder(trained: Trained, tmp_path: Path) -> None:
    predictor = cimnet.load(trained.folder, "cpu", batch_size=4)
    for name, began in (("rgb", 0), ("thermal", 3)):
        (tmp_path / name).mkdir()
        for number in range(began, 6):
            shown = look(number / 10, world(), name == "thermal")
            Image.fromarray(shown).save(tmp_path / name / f"frame_{number:04d}.png")
    settings = {"fps": 10, "thermal_fps": 10, "max_gap": 0.01, "view": "none"}
    result = predict_video(predictor, tmp_path / "rgb", tmp_path / "thermal", tmp_path / "out", **settings)
    rows = table(tmp_path / "out" / "frames.csv")
    assert [(row["frame"], row["thermal_frame"]) for row in rows] == [("3", "0"), ("4", "1"), ("5", "2")]
    assert result.skipped == 3
    _, video = film(tmp_path, 1.0)
    alone = predict_video(predictor, tmp_path / "rgb", video, tmp_path / "alone", fps=10, view="none")
    assert alone.frames == 6
