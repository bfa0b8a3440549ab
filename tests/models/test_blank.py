"""Images without content."""

from __future__ import annotations

import torch

from cimnet.models.blank import shown_cells


def test_cells_of_the_scene_are_those_whose_row_and_column_show_anything() -> None:
    black = torch.zeros(2, 3, 32, 48, dtype=torch.bool)
    black[0, :, 8:16] = True  # two rows of cells
    black[0, :, 21:23] = True  # less than a row of cells
    black[0, :2, 24:28] = True  # one channel shows something
    black[1, :, :, 44:] = True  # a column of cells
    black[1, :, 4:20, 4:20] = True  # a dark place
    shown = torch.ones(2, 1, 8, 12, dtype=torch.bool)
    shown[0, 0, 2:4] = False
    shown[1, 0, :, 11] = False
    assert torch.equal(shown_cells(0.1 - black.float()), shown)
