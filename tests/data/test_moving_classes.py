"""Which classes move is the same everywhere."""

from __future__ import annotations

import sys

import pytest

from cimnet.curation.stats import PairStats
from cimnet.data import LAYOUTS
from cimnet.data.classes import BUILT_IN, MOVING_CLASSES, moving_ids

MOVING = {
    "cart": {"vehicles", "person"},
    "fmb": {"person", "car", "truck", "bus", "motorcycle", "bicycle"},
    "kust4k": {"motorcycle", "car", "truck", "human"},
    "mfnet": {"car", "person", "bike"},
    "pst900": {"survivor"},
}
"""By list; the data sets' other classes stand still (or, like MFNet's bumps and cones, are put there)."""


def test_every_list_of_a_layout_is_here() -> None:
    assert BUILT_IN.keys() == MOVING.keys()
    lists = {layout.info.classes.names for layout in LAYOUTS.values() if layout.info.classes is not None}
    assert lists == {classes.names for classes in BUILT_IN.values()}


@pytest.mark.parametrize("name", sorted(MOVING))
def test_what_moves(name: str) -> None:
    classes = BUILT_IN[name].names
    assert {classes[k] for k in moving_ids(classes)} == MOVING[name]


def test_names_are_lower_case_and_cases_do_not_matter() -> None:
    assert {name.lower() for name in MOVING_CLASSES} == MOVING_CLASSES
    assert moving_ids(["Road", "Car", "BUS"]) == {1, 2}


def test_stats_has_no_list_of_its_own() -> None:
    assert sys.modules[PairStats.__module__].moving_ids is moving_ids
