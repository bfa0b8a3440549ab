"""Figures in README and on the page of evidence come from ``docs/evidence``, and are those of the notebook."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from benchmarks.evidence_tables import CLAIMS, MARK, filled, load_claims, pages, table_of

from tests import ROOT
from tests.docs.shell import commands_of, fault_of

README = (ROOT / "README.md").read_text(encoding="utf-8")
EVIDENCE = ROOT / "docs" / "evidence"
CELL = re.compile(r"[-+−]?\d[\d,]*\.\d+(?:e[-+]?\d+)?(?: ± \d+\.\d+)?|\d+e[-+]?\d+")
PERCENT = re.compile(r"(\d+)(?: to (\d+))? ?%")
IN_WORDS = re.compile(
    r"\b(?:half|halves|thirds?|quarters?|fifths?|tenths?|twice|double|doubled|triple)\b", re.IGNORECASE
)
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


def _readme_text() -> str:
    """README without code, identifiers and addresses."""
    return NOT_MEASURED.sub(" ", re.sub(r"```.*?```|`[^`\n]*`|\]\([^)\s]*\)", " ", README, flags=re.DOTALL))


def test_figures_in_the_text_of_readme_are_those_of_the_claims() -> None:
    """Every number with a decimal point or an exponent outside of code."""
    figures = set(CELL.findall(_readme_text()))
    known = CLAIMS.read_text(encoding="utf-8") + "".join(map(table_of, load_claims().values()))
    assert len(figures) > 8
    assert {figure for figure in figures if figure not in known} == set()


def _answers() -> list[tuple[str, str]]:
    """README's rows of questions: the answer, and the page that says how it was measured."""
    rows = re.findall(r"^\|[^|\n]*\?\s*\|([^|\n]*)\|[^|\n]*\]\(([^)#]*)[^)]*\)\s*\|$", README, re.MULTILINE)
    assert len(rows) >= 7
    return rows


def test_whole_percentages_of_readme_are_rounded_figures_of_the_claims() -> None:
    """Of the claim whose details are on the page that the row names; of all claims where it names the evidence."""
    found = 0
    for answer, page in _answers():
        claims = [claim for claim in load_claims().values() if claim["more"].partition("#")[0] == page]
        shown = "".join(table_of(claim) + claim.get("note", "") for claim in claims or load_claims().values())
        known = {round(float(figure)) for figure in re.findall(r"\d+\.\d+", shown)}
        figures = {int(end) for pair in PERCENT.findall(answer) for end in pair if end}
        assert figures <= known, answer
        found += len(figures)
    assert found >= 3
    assert len(PERCENT.findall(_readme_text())) == sum(len(PERCENT.findall(answer)) for answer, _ in _answers())


def test_readme_gives_figures_and_not_fractions_in_words() -> None:
    assert IN_WORDS.findall(_readme_text()) == []


def _notebook(claim: dict[str, Any]) -> str:
    return (ROOT / claim["more"].partition("#")[0]).read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "claim"), load_claims().items(), ids=list(load_claims()))
def test_the_notebook_has_the_figures(name: str, claim: dict[str, Any]) -> None:
    notebook = _notebook(claim)
    figures = {figure for row in claim.get("rows", []) for cell in row for figure in CELL.findall(cell)}
    assert {figure for figure in figures if figure not in notebook} == set()


WITH_FILE = {name: claim for name, claim in load_claims().items() if "from" in claim}


@pytest.mark.parametrize("name", WITH_FILE)
def test_tables_of_a_file_are_those_of_the_notebook(name: str) -> None:
    """Row by row; the notebook rounds some figures, and writes thousands with commas."""
    notebook = _notebook(WITH_FILE[name]).replace(",", "")
    differ = []
    for line in table_of(WITH_FILE[name]).splitlines()[2:]:
        title, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        rows = re.findall(rf"^\| {re.escape(title.replace(',', ''))}(?: \([^|]*\))? \|(.*)\|$", notebook, re.MULTILINE)
        there = {cell.strip() for row in rows for cell in row.split("|")}
        there |= {f"{int(cell) / 1e6:.1f}" for cell in there if cell.isdigit()}
        for cell in cells:
            forms = {cell} | ({f"{float(cell):.2f}"} if re.fullmatch(r"\d+\.\d+", cell) else set())
            differ += [] if forms & there else [(title, cell)]
    assert differ == []


def test_speeds_name_every_command_and_date_of_their_file() -> None:
    records = json.loads((EVIDENCE / "zoo_speed.json").read_text(encoding="utf-8"))
    claim = load_claims()["networks"]["measured"]
    measured = [forms["eager"]["measured"] for forms in records.values()]
    assert {one["command"] for one in measured} <= set(claim["commands"])
    assert {one["date"] for one in measured} <= set(re.findall(r"\d{4}-\d\d-\d\d", claim["date"]))


def test_ratios_of_speed_follow_from_its_file() -> None:
    records = json.loads((EVIDENCE / "zoo_speed.json").read_text(encoding="utf-8"))
    other = records["cmx_mit_b4"]["eager"]["of_cimnet_resnet101"]
    ours = records["cimnet_resnet101"]["int8"]["of_cimnet_resnet101"]
    note = load_claims()["networks"]["note"]
    assert f"CIMNet-R101 took {1 / other:.2f} of the time of CMX-B4" in note
    assert f"{ours / other:.2f} when exported to int8" in note


def _table(page: str, beginning: str) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the first table that begins so."""
    lines = page[page.index(beginning) :].splitlines()
    end = next((number for number, line in enumerate(lines) if not line.startswith("|")), len(lines))
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines[:end])
    return head, rows


def _cells(figures: dict[str, list[float]]) -> dict[str, str]:
    return {condition: f"{mean:.1f} ± {deviation:.1f}" for condition, (mean, deviation) in figures.items()}


def test_robustness_is_the_same_in_file_notebook_and_claim() -> None:
    """The figure is drawn from the file."""
    file = json.loads((EVIDENCE / "robustness.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "notebook" / "robustness.md").read_text(encoding="utf-8")
    for title, before in (("all classes", "mIoU, all classes:"), ("moving classes", "mIoU of moving classes")):
        head, rows = _table(page[page.index(before) :], "| model")
        assert {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows} == {
            model: _cells(figures) for model, figures in file[title].items()
        }
    columns = [("all classes", name) for name in ("clean", "shift 10 px", "shift 20 px")]
    columns += [
        ("moving classes", "shift 10 px"),
        ("all classes", "thermal blurred (σ 4 px)"),
        ("all classes", "RGB black"),
    ]
    for title, *cells in load_claims()["robustness"]["rows"]:
        model = re.sub(r" \([^)]*\)| as in the paper", "", title).replace("explicit alignment", "alignment")
        shown = [cell.strip("*") for cell in cells]
        assert shown == [_cells(file[group][model])[condition] for group, condition in columns], title


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
