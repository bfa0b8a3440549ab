"""docs/paper.md names files and tests; they must exist, and every equation, table and figure must be there."""

from __future__ import annotations

import re

import pytest

from tests import ROOT

LEDGER = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`([\w./]*(?:::\w+)?)`", LEDGER)
FOLDERS = ("src/", "tests/", "recipes/", "benchmarks/", "docs/")


def _places() -> list[tuple[str, str]]:
    """(file, test or nothing); ``::test`` alone belongs to the file named before it."""
    places, last = [], ""
    for name in NAMED:
        path, _, test = name.partition("::")
        if path.startswith(FOLDERS):
            last = path
        if path.startswith(FOLDERS) or (not path and test):
            places.append((last, test))
    return places


def test_every_path_is_checked() -> None:
    skipped = [name for name in NAMED if ("/" in name or ".py" in name) and not name.startswith(FOLDERS)]
    assert skipped == []


@pytest.mark.parametrize(("path", "test"), _places())
def test_what_the_ledger_names_exists(path: str, test: str) -> None:
    assert (ROOT / path).is_file(), path
    if test:
        assert re.search(rf"def {test}\b", (ROOT / path).read_text(encoding="utf-8")), f"{path}::{test}"


def _numbers(section: str) -> set[int]:
    rows = LEDGER.split(f"## {section}\n")[1].split("\n## ")[0]
    found: set[int] = set()
    for cell in re.findall(r"^\| ([\d, –]+) \|", rows, re.MULTILINE):
        for part in cell.split(","):
            first, _, last = part.strip().partition("–")
            found |= set(range(int(first), int(last or first) + 1))
    return found


def test_nothing_is_missing() -> None:
    assert _numbers("Equations") == set(range(1, 25))
    assert _numbers("Figures") == set(range(1, 18))
    sections = " ".join(
        re.findall(r"^\| ([IVX][\w, -]*) \|", LEDGER.split("## Sections\n")[1].split("\n## ")[0], re.MULTILINE)
    )
    wanted = ["I", "II", "VI", *(f"III-{c}" for c in "ABCDEF"), *(f"IV-{c}" for c in "ABC"), *(f"V-{c}" for c in "ABC")]
    assert sorted(re.findall(r"[\w-]+", sections)) == sorted(wanted)
    tables = re.findall(r"^\| ([IV]+) \|", LEDGER.split("## Tables\n")[1], re.MULTILINE)
    assert tables == ["I", "II", "III", "IV", "V", "VI"]
    assert len(_places()) > 40


def test_links_lead_somewhere() -> None:
    for target, anchor in re.findall(r"\]\((\w+\.md)(?:#([\w-]+))?\)", LEDGER):
        text = (ROOT / "docs" / target).read_text(encoding="utf-8")
        headings = {
            re.sub(r"[^\w -]", "", line.lstrip("# ")).lower().replace(" ", "-")
            for line in text.splitlines()
            if line.startswith("#")
        }
        assert not anchor or anchor in headings, f"{target}#{anchor}"
