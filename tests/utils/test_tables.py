"""Markdown tables, alone and in the reports that print names from files."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cimnet.evaluation import Evaluation
from cimnet.utils.tables import markdown_table


def cells(line: str) -> list[str]:
    """The cells of a row as GitHub reads them."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_a_table_as_github_reads_it() -> None:
    text = markdown_table(["class", "IoU", "F1"], [["car", 1, "2.0"]])
    assert text == "| class | IoU | F1 |\n|---|---:|---:|\n| car | 1 | 2.0 |\n"


def test_the_last_letter_of_align_holds_for_the_rest() -> None:
    assert markdown_table("abcd", [], "rl").splitlines()[1] == "|---:|---|---|---|"
    assert markdown_table(["a"], []).splitlines()[1] == "|---|"


def test_bars_and_line_breaks_stay_in_their_cell() -> None:
    text = markdown_table(["a|b", "c"], [["d|e\nf", "g"]])
    assert [len(cells(line)) for line in text.splitlines()] == [2, 2, 2]
    assert cells(text.splitlines()[2])[0] == "d\\|e f"


def test_a_row_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(ValueError, match="a row of 1 cell below 2 titles"):
        markdown_table(["a", "b"], [["c"]])


def test_a_class_with_a_bar_in_its_name_keeps_its_row() -> None:
    evaluation = Evaluation(("road", "car|truck"))
    evaluation.add(np.eye(2, dtype=np.int64), ["day|night"])
    rows = [cells(line) for line in evaluation.to_markdown().splitlines() if line.startswith("|")]
    assert ["car\\|truck", "100.0", "100.0", "100.0"] in rows
    assert ["day\\|night", "1", "100.0"] in rows
