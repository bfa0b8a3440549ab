"""docs/faults.md lists the faults of the table, all of them and no others, and counts them."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("tifffile", reason="needs the extra dev")

from tests import ROOT
from tests.faults.__main__ import BEGIN, END, _cell
from tests.faults.bench import Fault
from tests.faults.table import FAULTS

PAGE = ROOT / "docs" / "faults.md"


def test_the_page_lists_the_same_faults() -> None:
    text = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    tables = "".join(text.split("\n### ")[1:])
    listed = [line.split(" | ")[0].removeprefix("| ") for line in tables.splitlines() if line.startswith("| ")]
    assert [name for name in listed if name != "fault"] == [_cell(fault.name) for fault in _in_groups()]


def test_the_page_counts_them() -> None:
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(r"\*\*(\d+) faults\*\*, (\d+) of which must be refused", text)
    assert found is not None
    assert [int(number) for number in found.groups()] == [len(FAULTS), sum(f.error is not None for f in FAULTS)]


def _in_groups() -> list[Fault]:
    groups = list(dict.fromkeys(fault.group for fault in FAULTS))
    return sorted(FAULTS, key=lambda fault: groups.index(fault.group))
