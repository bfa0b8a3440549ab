"""Pairs by the names of files, compared with a rule that knows how the names were made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cimnet.data.io.name_order import by_number
from cimnet.data.io.nearest_times import pair_nearest
from cimnet.data.io.sensor_names import NamedPairs, pair_one_folder, pair_two_folders, sensor_name
from cimnet.errors import DataError
from tests.fakes.dji import shot

START = datetime(2024, 1, 31, 12, 0, 0, tzinfo=UTC)
_RGB = st.sampled_from(["V", "W", "rgb", "RGB", "vis", "visible", "color", "wide"])
_THERMAL = st.sampled_from(["T", "IR", "ir", "thermal", "tir", "THRM", "lwir"])


def named(*names: str) -> dict[str, Path]:
    return {name: Path(f"{name}.jpg") for name in names}


def names_of(found: NamedPairs | None) -> list[tuple[str, str, str]]:
    assert found is not None
    return [(name, rgb.stem, thermal.stem) for name, rgb, thermal in found.pairs]


@settings(max_examples=150, deadline=None)
@given(
    st.sets(st.integers(0, 9999), min_size=1, max_size=12),
    st.data(),
    _RGB,
    _THERMAL,
    st.sampled_from("_-. "),
    st.booleans(),
)
def test_words_for_sensors(
    numbers: set[int], data: st.DataObject, rgb: str, thermal: str, between: str, first: bool
) -> None:
    """Every number that both sensors have is a pair, every other file is named, whatever the words and their place."""

    def name(number: int, word: str) -> str:
        return f"{word}{between}x{number:04d}" if first else f"x{number:04d}{between}{word}"

    kept = [data.draw(st.sets(st.sampled_from(sorted(numbers)))) for _ in range(2)]
    files = named(*(name(n, rgb) for n in kept[0]), *(name(n, thermal) for n in kept[1]))
    found = pair_one_folder(files)
    both = sorted(kept[0] & kept[1])
    if not both:
        assert found is None
        return
    assert names_of(found) == [(f"x{n:04d}", name(n, rgb), name(n, thermal)) for n in both]
    assert found is not None
    alone = [name(n, rgb) for n in kept[0] - set(both)] + [name(n, thermal) for n in kept[1] - set(both)]
    assert sorted(path.stem for path in found.unmatched) == sorted(alone)
    two = pair_two_folders(
        {n: p for n, p in files.items() if rgb in n}, {n: p for n, p in files.items() if thermal in n}
    )
    assert two is not None
    assert two.pairs == found.pairs


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 1), min_size=1, max_size=20), st.integers(1, 30))
def test_the_time_of_a_shot_may_differ(late: list[int], step: int) -> None:
    """Drones name a shot's files by when each sensor was done: the number tells, the time may be a second later."""
    rgb, thermal = [], []
    for number, seconds in enumerate(late):
        taken = START + timedelta(seconds=step * number)
        rgb.append(f"DJI_{taken:%Y%m%d%H%M%S}_{number:04d}_V")
        thermal.append(f"DJI_{taken + timedelta(seconds=seconds):%Y%m%d%H%M%S}_{number:04d}_T")
    found = pair_one_folder(named(*rgb, *thermal))
    assert names_of(found) == [(name[:-2], name, other) for name, other in zip(rgb, thermal, strict=True)]
    assert found is not None
    assert not found.unmatched
    assert ("differ" in found.taken) == any(late)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 3000), max_size=15),
    st.lists(st.integers(0, 3000), max_size=15),
    st.integers(0, 500),
)
def test_nearest_times(one: list[int], other: list[int], gap: int) -> None:
    """Mutual neighbours within the limit, by trying every pair."""

    def nearest(time: int, among: list[int]) -> int:
        return min(range(len(among)), key=lambda k: (abs(among[k] - time), among[k], k))

    expected = [
        (i, j)
        for i, time in enumerate(one)
        if other and nearest(other[j := nearest(time, other)], one) == i and abs(other[j] - time) <= gap
    ]
    assert pair_nearest([float(t) for t in one], [float(t) for t in other], float(gap)) == expected


def test_two_cameras_by_their_clocks() -> None:
    rgb = named(*(f"{1706702400 + k / 10:.3f}" for k in range(8)))
    thermal = named(*(f"{1706702400 + k / 10 + 0.031:.3f}" for k in range(8) if k != 3), "1706702500.000")
    found = pair_two_folders(rgb, thermal)
    assert [(name, b) for name, _, b in names_of(found)][2:4] == [
        ("1706702400.200", "1706702400.231"),
        ("1706702400.400", "1706702400.431"),
    ]
    assert found is not None
    assert len(found.pairs) == 7
    assert {path.stem for path in found.unmatched} == {"1706702400.300", "1706702500.000"}
    assert "7 pairs by the times in their names, up to 0.031 s apart (limit 0.100 s)" in found.taken
    assert pair_two_folders(rgb, thermal, 0.01) is None


def test_one_word_a_sensor() -> None:
    """A zoomed picture does not stand in where the wide one is missing."""
    found = pair_one_folder(named("1_W", "1_Z", "1_T", "2_W", "2_Z", "2_T", "3_Z", "3_T"))
    assert names_of(found) == [("1", "1_W", "1_T"), ("2", "2_W", "2_T")] or names_of(found) == [
        ("1", "1_Z", "1_T"), ("2", "2_Z", "2_T"), ("3", "3_Z", "3_T")
    ]  # fmt: skip
    assert found is not None
    words = {rgb[-1] for _, rgb, _ in names_of(found)}
    assert len(words) == 1
    assert "left out" in found.taken


def test_names_without_a_word_and_folders() -> None:
    assert names_of(pair_one_folder(named("0001", "0001_T", "0002"))) == [("0001", "0001", "0001_T")]
    found = pair_one_folder(named("day 1/visible/7", "day 1/ir/7"))
    assert found is not None
    assert [name for name, _, _ in found.pairs] == ["day 1/7"]
    assert [name for name, _, _ in names_of(pair_one_folder(named("rgb", "thermal")))] == ["rgb"]
    assert pair_one_folder(named("00001D", "00002N")) is None


def test_two_files_of_one_name() -> None:
    with pytest.raises(DataError, match=r"a_v\.jpg and a-V\.jpg are both the V of 'a'"):
        pair_one_folder(named("a_v", "a-V", "a_T"))


@pytest.mark.parametrize("name", ["img①", "img٣", "²", "帧12①"])
def test_digits_of_other_scripts_are_letters(name: str) -> None:
    assert by_number(name)
    assert sorted(["f10", name, "f9"], key=by_number)


def test_numbers_sort_by_value() -> None:
    assert sorted(["f10b2", "f9b11", "f9b2", "f"], key=by_number) == ["f", "f9b2", "f9b11", "f10b2"]
    assert sensor_name("x_٣") is None


def test_pairing_looks_at_each_file_a_few_times() -> None:
    seen = 0

    class Counted(type(Path())):  # type: ignore[misc]
        def __hash__(self) -> int:
            nonlocal seen
            seen += 1
            return super().__hash__()

    files = {f"{n}_{word}": Counted(f"{n}_{word}.jpg") for n in range(400) for word in "VT"}
    found = pair_one_folder(files)
    assert found is not None
    assert len(found.pairs) == 400
    assert seen < 20 * len(files)


def flight(rgb: str, thermal: str, count: int = 5, late: float = 0.0, after: int = 0) -> dict[str, Path]:
    """Shots of a drone: `late` seconds lie between the files of one, `after` is the step between their numbers."""
    step = 1 + abs(after)
    return named(
        *(shot(step * k, rgb) for k in range(1, count + 1)),
        *(shot(step * k + after, thermal, late - 3 * after) for k in range(1, count + 1)),
    )


@pytest.mark.parametrize("late", [0.0, 1.0, -1.0])
@pytest.mark.parametrize("after", [0, 1, -1])
def test_names_of_a_drone(late: float, after: int) -> None:
    """The number is the same, or each file has its own; the second may be the next one."""
    found = pair_one_folder(flight("V", "T", late=late, after=after))
    step = 1 + abs(after)
    assert names_of(found) == [
        (shot(step * k, "V")[:-2], shot(step * k, "V"), shot(step * k + after, "T", late - 3 * after))
        for k in range(1, 6)
    ]


@pytest.mark.parametrize(
    ("rgb", "thermal"), [("V", "T"), ("W", "T"), ("V_Waypoint1", "T_Waypoint1"), ("W", "T_temp_c"), ("V", "R")]
)
def test_what_stands_behind_the_letter(rgb: str, thermal: str) -> None:
    found = pair_one_folder(flight(rgb, thermal))
    assert names_of(found) == [(shot(k, "")[:-1], shot(k, rgb), shot(k, thermal)) for k in range(1, 6)]


def test_wide_zoomed_and_thermal() -> None:
    """Where one lens lacks a shot, the other does not stand in for it."""
    files = flight("W", "T") | flight("Z", "T")
    del files[shot(2, "W")]
    found = pair_one_folder(files)
    assert found is not None
    assert {rgb[-1] for _, rgb, _ in names_of(found)} == {"Z"}
    assert len(found.pairs) == 5
    assert "4 other images" in found.taken


def test_older_names_without_times() -> None:
    same = named(*(f"DJI_{n:04d}" for n in range(1, 5)), *(f"DJI_{n:04d}_R" for n in range(1, 5)))
    assert names_of(pair_one_folder(same)) == [(f"DJI_{n:04d}", f"DJI_{n:04d}", f"DJI_{n:04d}_R") for n in range(1, 5)]
    counted = named(*(f"DJI_{n:04d}_{'TW'[n % 2]}" for n in range(1, 9)))
    found = pair_one_folder(counted)
    assert names_of(found) == [(f"DJI_{n:04d}", f"DJI_{n:04d}_W", f"DJI_{n + 1:04d}_T") for n in (1, 3, 5, 7)]
    assert found is not None
    assert "the numbers in the names of a pair differ by one" in found.taken


def test_numbers_that_may_go_either_way_are_no_pairs() -> None:
    assert pair_one_folder(named("DJI_0001_W", "DJI_0002_T", "DJI_0003_W")) is None  # before or behind?
    assert pair_one_folder(named("DJI_0001_W", "DJI_0003_T")) is None
    assert pair_two_folders(named("0001", "0003"), named("0002", "0004")) is None  # no word says which sensor
    some = named("DJI_0001_W", "DJI_0001_T", "DJI_0002_Z", "DJI_0003_T", "DJI_0004_Z", "DJI_0005_T")
    assert names_of(pair_one_folder(some)) == [("DJI_0001", "DJI_0001_W", "DJI_0001_T")]  # an equal name tells more
