"""Masks as pictures."""

from __future__ import annotations

import numpy as np
import torch

from cimnet.inference.overlay import class_shares, overlay_mask, to_rgb, with_legend
from cimnet.utils.colors import colorize

CLASSES = ("ground", "person", "car", "tree")
COLORS = ((0, 0, 0), (230, 60, 60), (60, 180, 75), (255, 225, 25))


def _mask() -> np.ndarray:
    mask = np.zeros((40, 300), dtype=np.uint8)
    mask[:10] = 1
    mask[30:] = 3
    return mask


def test_colours_by_class_and_white_for_ignored() -> None:
    picture = colorize(np.array([[0, 1], [3, 255]], dtype=np.uint8), COLORS)
    assert picture.tolist() == [[[0, 0, 0], [230, 60, 60]], [[255, 225, 25], [255, 255, 255]]]


def test_an_image_of_other_than_three_channels_is_drawn_by_its_first() -> None:
    image = torch.stack([torch.full((2, 2), value) for value in (0.2, 0.4, 0.6, 0.8)])
    for channels in (1, 2, 4):
        assert to_rgb(image[:channels])[0, 0].tolist() == [51, 51, 51]
    assert to_rgb(image[:3])[0, 0].tolist() == [51, 102, 153]


def test_blend_mixes_image_and_colour_and_leaves_the_background() -> None:
    image = np.full((1, 2, 3), 100, dtype=np.uint8)
    mask = np.array([[1, 0]], dtype=np.uint8)
    assert overlay_mask(image, mask, COLORS).tolist() == [[[165, 80, 80], [100, 100, 100]]]
    assert overlay_mask(image, mask, COLORS, opacity=0).tolist() == image.tolist()


def _below(mask: np.ndarray) -> set[tuple[int, ...]]:
    image = np.full((*mask.shape, 3), 77, dtype=np.uint8)
    picture = np.asarray(with_legend(image, mask, CLASSES, COLORS))
    np.testing.assert_array_equal(picture[: mask.shape[0], : mask.shape[1]], image)
    assert picture.shape[0] > mask.shape[0]
    return {tuple(int(v) for v in pixel) for pixel in picture[mask.shape[0] :].reshape(-1, 3)}


def test_the_legend_shows_the_classes_of_the_mask_and_no_others() -> None:
    colors = _below(_mask())
    assert COLORS[1] in colors
    assert COLORS[3] in colors
    assert COLORS[2] not in colors
    assert COLORS[2] in _below(np.full((40, 300), 2, dtype=np.uint8))


def test_small_images_get_room_for_the_legend_and_long_ones_new_lines() -> None:
    mask = np.arange(4, dtype=np.uint8).reshape(2, 2)
    assert set(COLORS) <= _below(mask)
    narrow = with_legend(np.zeros((2, 2, 3), dtype=np.uint8), mask, CLASSES, COLORS)
    wide = with_legend(np.zeros((2, 800, 3), dtype=np.uint8), np.repeat(mask, 400, axis=1), CLASSES, COLORS)
    assert narrow.height > wide.height


def test_ignored_pixels_need_no_legend() -> None:
    mask = _mask()
    mask[:10] = 255
    assert COLORS[1] not in _below(mask)


def test_shares_of_the_classes_that_occur() -> None:
    mask = np.array([[2, 2, 0, 1], [2, 255, 9, 1]], np.uint8)
    assert class_shares(mask, 4) == [(2, 3 / 8), (1, 2 / 8), (0, 1 / 8)]  # 9 and 255 are no classes
    assert class_shares(np.full((2, 2), 255, np.uint8), 4) == []
