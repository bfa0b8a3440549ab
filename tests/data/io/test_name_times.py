"""Times in file names."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cimnet.data.io.name_times import times_of

NOON = datetime(2024, 1, 31, 12, 0, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("names", "first", "step"),
    [
        (["1706702400.000", "1706702400.100"], NOON, 0.1),
        (["cam0_1706702400_5", "cam0_1706702401_5"], NOON + 0.5, 1.0),
        (["1706702400000", "1706702400033"], NOON, 0.033),
        (["rgb-1706702400000000", "rgb-1706702400100000"], NOON, 0.1),
        (["1706702400000000000", "1706702400500000000"], NOON, 0.5),
        (["20240131_120000_250", "20240131_120000_750"], NOON + 0.25, 0.5),
        (["2024-01-31T12-00-00", "2024-01-31T12-00-02"], NOON, 2.0),
        (["DJI_20240131120000_0001_V", "DJI_20240131120003_0002_V"], NOON, 3.0),
        (["DJI_20240131120000_0001_T", "DJI_20240131120003_0002_T"], NOON, 3.0),
        (["2024-01-31 12.00.00", "2024-01-31 12.01.00"], NOON, 60.0),
    ],
)
def test_times(names: list[str], first: float, step: float) -> None:
    times = times_of(names)
    assert times is not None
    assert times == pytest.approx([first, first + step], abs=2e-6)


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["000001", "000002"],  # a counter
        ["img_20241399_120000", "img_20241399_120001"],  # no month 13
        ["1706702400.000", "frame2"],  # one without
        ["9999999999999", "9999999999998"],  # later than this century
        ["20240131_120000_a", "20240131_120000_b", "20240131_120000_c", "20240131_120000_d"],  # a day's stamp, no clock
    ],
)
def test_names_without_times(names: list[str]) -> None:
    assert times_of(names) is None
