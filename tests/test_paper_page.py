"""docs/paper/index.md names files and tests: all of them must exist. (Its links: ``test_docs.py``.)"""

from __future__ import annotations

import re

from tests import ROOT

LEDGER = (ROOT / "docs" / "paper" / "index.md").read_text(encoding="utf-8")
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


def test_what_the_ledger_names_exists() -> None:
    assert len(_places()) > 40
    odd = [name for name in NAMED if ("/" in name or ".py" in name) and not name.startswith(FOLDERS)]
    missing = [path for path, _ in _places() if not (ROOT / path).is_file()]
    tests = [(path, test) for path, test in _places() if test and path not in missing]
    gone = [f"{p}::{t}" for p, t in tests if not re.search(rf"def {t}\b", (ROOT / p).read_text(encoding="utf-8"))]
    assert (odd, missing, gone) == ([], [], [])
