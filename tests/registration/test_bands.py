"""What one matrix leaves over is found where it is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from cimnet.registration.bands import BANDS, band_offsets
from cimnet.registration.matrices import Matrix
from cimnet.registration.prepare import prepare

Image = npt.NDArray[np.uint8]
SHIFT: Matrix = np.array([[1.0, 0, 3], [0, 1, -2]])


def banded_pair(seed: int, middle: int) -> tuple[Image, Image]:
    """The thermal camera sees everything 3 pixels to the right and 2 up, and the middle third `middle` pixels lower."""
    texture = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((192, 256)), 2)
    grey = np.clip(128 + 400 * texture, 0, 255).astype(np.uint8)
    thermal = np.roll(grey, (-2, 3), (0, 1))
    thermal[64:128] = np.roll(grey, (middle - 2, 3), (0, 1))[64:128]
    return np.repeat(grey[..., None], 3, 2), 255 - thermal


@pytest.mark.parametrize("middle", [0, 4])
def test_bands_at_another_distance_are_told(middle: int) -> None:
    bands = band_offsets([(prepare([banded_pair(seed, middle) for seed in range(3)]), SHIFT)])
    assert [(band.top, band.bottom) for band in bands] == [(32 * k, 32 * k + 31) for k in range(BANDS)]
    for band, expected in zip(bands, (0, 0, middle, middle, 0, 0), strict=True):
        assert band.dx == pytest.approx(0, abs=0.4)
        assert band.dy == pytest.approx(expected, abs=0.6)


def test_pairs_with_matrices_of_their_own() -> None:
    """One pair lies 6 pixels further to the right, and its matrix says so; images of another size are left out."""
    near, far = banded_pair(0, 4), banded_pair(1, 4)
    moved = far[0], np.roll(far[1], 6, 1)
    there: Matrix = SHIFT + np.array([[0, 0, 6.0], [0, 0, 0]])
    small = near[0][:128, :128], near[1][:128, :128]
    bands = band_offsets(
        [(prepare([pair]), matrix) for pair, matrix in ((near, SHIFT), (moved, there), (small, SHIFT))]
    )
    assert [band.dy for band in bands] == pytest.approx([0, 0, 4, 4, 0, 0], abs=0.6)
    assert [band.dx for band in bands] == pytest.approx([0] * BANDS, abs=0.4)


def test_thermal_images_of_another_size() -> None:
    """At half the size, the offsets are still those of the RGB image."""
    rgb, thermal = banded_pair(0, 4)
    small = thermal.reshape(96, 2, 128, 2).mean((1, 3)).astype(np.uint8)
    half: Matrix = np.array([[0.5, 0, 3 / 2 - 0.25], [0, 0.5, -2 / 2 - 0.25]])
    bands = band_offsets([(prepare([(rgb, small)]), half)])
    assert bands[0].dy == pytest.approx(0, abs=0.6)
    assert bands[2].dy == pytest.approx(4, abs=0.8)


def test_nothing_to_see_is_unknown() -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, shape, np.uint8) for shape in ((192, 256, 3), (192, 256))]
    assert all(band.dx is None and band.dy is None for band in band_offsets([(prepare([(noise[0], noise[1])]), SHIFT)]))
    flat = np.zeros((192, 256, 3), np.uint8), np.zeros((192, 256), np.uint8)
    assert band_offsets([(prepare([flat]), SHIFT)]) == []
