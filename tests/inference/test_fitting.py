"""Thermal frames of another size than the RGB frames."""

from __future__ import annotations

import numpy as np
import pytest

from cimnet.data.io.thermal_scaling import Counts
from cimnet.inference.fitting import resized

SIZE = (12, 16)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [(np.uint8, 255), (np.uint16, 65535), (np.int16, -1200), (np.int16, 32767), (np.float32, -12.5)],
)
@pytest.mark.parametrize("size", [SIZE, (3, 4)])
def test_the_values_of_a_flat_image_stay(dtype: type, value: float, size: tuple[int, int]) -> None:
    """Of 16-bit values below zero, too."""
    found = resized(np.full((6, 8), value, dtype), size)
    assert found.dtype == dtype
    assert found.shape == size
    assert (found == value).all()
    assert not np.ma.isMaskedArray(found)


def test_missing_pixels_stay_missing() -> None:
    counts = np.arange(48, dtype=np.uint16).reshape(6, 8)
    mask = np.zeros((6, 8), bool)
    mask[:, 6:] = True
    thermal: Counts = np.ma.MaskedArray(counts, mask)
    found = resized(thermal, SIZE)
    missing = np.ma.getmaskarray(found)
    assert missing[:, 12:].all(), "made from missing pixels alone"
    assert not missing[:, :11].any(), "made from none"
    assert (np.ma.getdata(found) == resized(counts, SIZE)).all()
