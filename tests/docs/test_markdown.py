"""Markdown that every reader of it reads alike: the site's is stricter than that of code hosts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import ROOT
from tests.docs.pages import PAGES, without_fenced

ITEM = re.compile(r"( *)([-*]|1\.) ")
"""A number other than one begins no list inside of a paragraph: "5 to / 10. The next sentence"."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_lists(page: Path) -> None:
    """A list begins after an empty line, and a list in a list is indented by four."""
    faults, inside, before = [], False, ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if line.lstrip().startswith("```"):
            inside = not inside
        item = None if inside else ITEM.match(line)
        if item:
            in_list = re.match(r" *([-*]|\d+\.) ", before) or before.startswith((" ", "#"))
            if before.strip() and not in_list:
                faults.append(f"{number}: no empty line before a list")
            if len(item[1]) % 4:
                faults.append(f"{number}: indented by {len(item[1])}")
        before = line
    assert faults == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_one_title(page: Path) -> None:
    assert len(re.findall(r"^# \S", without_fenced(page), re.MULTILINE)) == 1
