"""Figures in README and on the page of evidence come from ``docs/evidence``, and are those of the notebook."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from benchmarks.evidence_tables import CLAIMS, MARK, filled, load_claims, pages

from tests import ROOT
from tests.docs.shell import commands_of, fault_of

README = (ROOT / "README.md").read_text(encoding="utf-8")
CELL = re.compile(r"[-+−]?\d[\d,]*\.\d+(?: ± \d+\.\d+)?")
NOT_MEASURED = re.compile(
    r"10\.\d{4}/[\w.]+|https?://\S+|Apache-2\.0|>=[\d.]+|Python 3\.\d+(?: to 3\.\d+)?|\d+\.\d+\.\d+"
)
"""Identifiers, addresses, licences and versions."""


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_are_current(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert filled(page, text, load_claims()) == text, "run python benchmarks/evidence_tables.py"


def test_every_claim_is_shown() -> None:
    shown = {name for page in pages() for _, name, _, _ in MARK.findall(page.read_text(encoding="utf-8"))}
    assert shown == set(load_claims())


def test_figures_in_the_text_of_readme_are_those_of_the_claims() -> None:
    """Every number with a decimal point outside of code; rounded ones have none."""
    text = re.sub(r"```.*?```|`[^`\n]*`|\]\([^)\s]*\)", " ", README, flags=re.DOTALL)
    figures = set(CELL.findall(NOT_MEASURED.sub(" ", text)))
    known = CLAIMS.read_text(encoding="utf-8")
    assert len(figures) > 8
    assert {figure for figure in figures if figure not in known} == set()


@pytest.mark.parametrize(("name", "claim"), load_claims().items(), ids=list(load_claims()))
def test_the_notebook_has_the_figures(name: str, claim: dict[str, Any]) -> None:
    notebook = (ROOT / claim["more"].partition("#")[0]).read_text(encoding="utf-8")
    figures = {figure for row in claim.get("rows", []) for cell in row for figure in CELL.findall(cell)}
    assert {figure for figure in figures if figure not in notebook} == set()


@pytest.mark.parametrize(("name", "claim"), load_claims().items(), ids=list(load_claims()))
def test_claims_say_how_they_were_measured(name: str, claim: dict[str, Any]) -> None:
    assert claim["claim"].endswith(".")
    assert re.match(r"\d{4}-\d\d-\d\d", claim["measured"]["date"])
    assert claim["measured"]["machine"]
    assert claim["measured"]["commands"]
    for command in claim["measured"]["commands"]:
        faults = [fault for words in commands_of(command) if (fault := fault_of(words))]
        script = re.match(r"python (benchmarks/\w+\.py)", command)
        assert faults == []
        assert (
            command.startswith("cimnet ") or "-m pytest tests/" in command or (script and (ROOT / script[1]).is_file())
        )


@pytest.mark.parametrize("file", sorted((ROOT / "docs" / "evidence").glob("*.json")), ids=lambda file: file.name)
def test_no_file_names_a_folder_of_the_machine(file: Path) -> None:
    """The site publishes them."""
    text = file.read_text(encoding="utf-8")
    json.loads(text)
    assert re.findall(r"(?<![\w.])/(?:home|root|tmp|work|mnt|Users)/[^\"\s]*", text) == []
