"""Thermal images in the frame of the RGB image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cimnet.errors import DataError
from cimnet.registration.mapping import Mapping

SIZE = (32, 40)


def hole_of(rows: slice, columns: slice) -> Any:
    hole = np.zeros(SIZE, bool)
    hole[rows, columns] = True
    return hole


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
@pytest.mark.parametrize(("dx", "columns"), [(3.0, slice(7, 12)), (3.5, slice(6, 12)), (3.001, slice(7, 12))])
@pytest.mark.parametrize("by_positions", [False, True])
def test_what_is_made_from_missing_pixels_is_missing(dtype: Any, dx: float, columns: slice, by_positions: bool) -> None:
    hole = hole_of(slice(8, 14), slice(10, 15))
    counts: Any = np.ma.MaskedArray(np.where(hole, 100, 20).astype(dtype), hole)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(float)
    positions = Mapping(positions=np.stack([x + dx, y + 2], -1))
    found: Any = (positions if by_positions else Mapping(np.array([[1, 0, dx], [0, 1, 2.0]]))).apply(counts, SIZE)[0]
    assert found.dtype == dtype
    np.testing.assert_array_equal(np.ma.getmaskarray(found), hole_of(slice(6, 12), columns))
    assert (found.compressed() == 20).all() or dx == 3.001


def test_missing_pixels_at_the_edge_are_missing_where_it_is_repeated() -> None:
    counts: Any = np.ma.MaskedArray(np.full(SIZE, 20, np.uint8), hole_of(slice(None), slice(38, 40)))
    found: Any = Mapping(np.array([[1.0, 0, 5], [0, 1, 0]])).apply(counts, SIZE)[0]
    np.testing.assert_array_equal(np.ma.getmaskarray(found), hole_of(slice(None), slice(33, 40)))


def test_without_missing_pixels_there_is_no_mask() -> None:
    for counts in (np.ones(SIZE, np.uint8), np.ma.MaskedArray(np.ones(SIZE, np.uint8), np.zeros(SIZE, bool))):
        assert not isinstance(Mapping(np.eye(2, 3)).apply(counts, SIZE)[0], np.ma.MaskedArray)


@pytest.mark.parametrize("by_positions", [False, True])
def test_a_mapping_that_covers_nothing_is_refused(by_positions: bool) -> None:
    away = Mapping(np.array([[1.0, 0, 500], [0, 1, 0]]), source="rig.yaml")
    if by_positions:
        away = Mapping(positions=np.full((8, 10, 2), -1e6), source="rig.yaml")
    with pytest.raises(DataError, match=r"rig\.yaml: no pixel of the RGB image .*10x8.* RGB to thermal"):
        away.apply(np.ones((8, 10), np.uint8), (8, 10))
