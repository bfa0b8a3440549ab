"""The figure of a pair before and after its alignment."""

from __future__ import annotations

import numpy as np

from cimnet.registration.before_after import plot_pair


def _orange(picture: np.ndarray) -> np.ndarray:
    """Where the edges of the thermal image are drawn: (H, W) bool."""
    return picture[..., 0] - picture[..., 2] > 0.5


def test_the_edges_of_the_thermal_image_move_with_the_matrix() -> None:
    thermal = np.full((64, 80), 40, np.uint8)
    thermal[20:40, 30:50] = 200  # seen 8 pixels to the left of where RGB has it
    figure = plot_pair(np.full((64, 80, 3), 90, np.uint8), thermal, np.array([[1.0, 0, -8], [0, 1, 0]]))
    before, after = (_orange(np.asarray(axis.images[0].get_array())) for axis in figure.axes)
    assert before.any()
    assert (np.flatnonzero(before.any(axis=0)) + 8).tolist() == np.flatnonzero(after.any(axis=0)).tolist()


def test_the_rim_of_the_thermal_image_is_no_edge() -> None:
    """Beyond it there is nothing: that is no edge of a thing."""
    thermal = np.full((64, 80), 120, np.uint8)
    thermal[20:40, 30:50] = 200
    figure = plot_pair(np.full((64, 80, 3), 90, np.uint8), thermal, np.array([[1.0, 0, 15], [0, 1, -9]]))
    after = _orange(np.asarray(figure.axes[1].images[0].get_array()))
    rows, columns = np.nonzero(after)
    assert rows.min() >= 25
    assert columns.max() <= 39
