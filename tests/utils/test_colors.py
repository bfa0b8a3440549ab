"""Class ids as colours, and the legend below them."""

from __future__ import annotations

import numpy as np

from cimnet.data.synthetic.contact_sheet import contact_sheet
from cimnet.utils.colors import color_table, colorize, hex_color
from cimnet.utils.legend import draw_legend

COLORS = ((0, 0, 0), (230, 60, 60), (60, 180, 75))


def test_every_id_of_a_byte_has_a_colour() -> None:
    table = color_table(COLORS, (1, 2, 3))
    assert table.shape == (256, 3)
    assert table[:3].tolist() == [list(color) for color in COLORS]
    assert (table[3:] == (1, 2, 3)).all()
    assert (color_table(()) == 255).all()
    ignored = color_table(COLORS, (1, 2, 3), ignore=(7, 8, 9))
    assert ignored[255].tolist() == [7, 8, 9]
    assert (ignored[:255] == table[:255]).all()


def test_ids_of_any_integer_kind() -> None:
    for kind in (np.uint8, np.int64):
        assert colorize(np.array([[1, 255]], kind), COLORS, (9, 9, 9)).tolist() == [[[230, 60, 60], [9, 9, 9]]]


def test_hex() -> None:
    assert hex_color((1, 255, 16)) == "#01ff10"


def boxes(strip: np.ndarray, color: tuple[int, int, int]) -> list[int]:
    """Rows of the middles of the boxes of a colour."""
    return np.flatnonzero((strip == color).all(axis=2).any(axis=1)).tolist()


def test_entries_take_as_many_lines_as_they_need() -> None:
    entries = [("one", COLORS[1]), ("two", COLORS[2])]
    wide, narrow = draw_legend(400, entries), draw_legend(70, entries)
    assert wide.shape == (28, 400, 3)
    assert boxes(wide, COLORS[1]) == boxes(wide, COLORS[2])
    assert narrow.shape[0] > wide.shape[0]
    assert max(boxes(narrow, COLORS[1])) < min(boxes(narrow, COLORS[2]))


def test_a_text_wider_than_the_strip_is_cut_and_any_letter_can_be_drawn() -> None:
    strip = draw_legend(100, [("m" * 200, COLORS[1]), ("道路 тротуар", COLORS[2])], paper=(250, 250, 250))
    assert strip.shape[1] == 100
    assert (strip[:, -6:] == 250).all()  # nothing runs over the edge
    assert boxes(strip, COLORS[2])
    assert draw_legend(50, []).shape[1] == 50


def test_a_narrow_sheet_of_scenes_names_every_class() -> None:
    from cimnet.data.synthetic.class_ids import COLORS as SCENE_COLORS

    sheet = np.asarray(contact_sheet(rows=1, size=(64, 80)))
    legend = sheet[64 + 18 + 12 :]
    for color in SCENE_COLORS:
        assert boxes(legend, color), color
