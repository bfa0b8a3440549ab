"""Numbers and names as a person reads them."""

from __future__ import annotations

import ast
import math
import re

import numpy as np
import pytest

from cimnet.utils.numbers import describe, format_number, format_percent, pluralize, spread_evenly, value_range
from tests import ROOT

ALWAYS_SEVERAL = {"openvino_file.py", "paper_tables.py", "ray_worker.py"}
"""Files in which a length beside a plural is never 1."""


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 masks"), (1, "1 mask"), (2, "2 masks"), (1200, "1,200 masks"), (-1, "-1 masks")]
)
def test_plurals(count: int, text: str) -> None:
    assert pluralize(count, "mask") == text


def test_odd_plurals() -> None:
    assert pluralize(1, "class", "classes") == "1 class"
    assert pluralize(3, "class", "classes") == "3 classes"


def test_no_message_puts_a_length_before_a_plural() -> None:
    """It would say "1 masks"."""
    found = []
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.JoinedStr):
                continue
            for before, after in zip(node.values, node.values[1:], strict=False):
                text = str(after.value) if isinstance(after, ast.Constant) else ""
                length = isinstance(before, ast.FormattedValue) and ast.unparse(before.value).startswith("len(")
                if length and re.match(r" [a-z]+s\b", text) and path.name not in ALWAYS_SEVERAL:
                    found.append(f"{path.name}: {ast.unparse(node)}")
    assert found == []


@pytest.mark.parametrize(
    ("length", "count", "positions"),
    [(0, 3, []), (5, 0, []), (5, 1, [0]), (5, 2, [0, 4]), (5, 3, [0, 2, 4]), (3, 9, [0, 1, 2]), (1, 1, [0])],
)
def test_spread_evenly(length: int, count: int, positions: list[int]) -> None:
    assert spread_evenly(length, count) == positions


def test_shares_and_numbers() -> None:
    assert format_percent(0.1234) == "12.3"
    assert format_percent(math.nan) == format_number(math.nan) == "–"
    assert format_number(-1.5, "+.1f") == "−1.5"  # a minus sign, not a hyphen


def test_names() -> None:
    assert describe("rgb_broken") == "RGB broken"
    assert describe("dark_night") == "dark night"


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "uint8", "uint16", "float32"])
def test_percentiles_of_values_far_apart(dtype: str) -> None:
    """Within their own type the differences of signed integers overflow."""
    ends = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else np.finfo(dtype)
    values = np.array([[ends.min, 0], [3, ends.max]]).astype(dtype)
    if np.dtype(dtype).kind == "f":
        values /= 4
    np.testing.assert_allclose(value_range(values, 1, 90), np.percentile(values.astype(np.float64), (1, 90)), rtol=1e-6)
