"""Files that the repository's host reads: the citation and the forms of issues."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from tests import ROOT

FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def test_the_citation_names_the_paper_and_the_software() -> None:
    """What Citation File Format 1.2 requires of the file and of the paper in it."""
    content = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    paper = content["preferred-citation"]
    assert {"cff-version", "message", "title", "authors", "type", "license"} <= set(content)
    assert (content["cff-version"], content["type"], content["license"]) == ("1.2.0", "software", "Apache-2.0")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert content["authors"] == project["authors"], "two names for whoever wrote the package"
    assert {"type", "title", "authors"} <= set(paper)
    assert paper["title"].startswith("CIMNet: ")
    assert re.fullmatch(r"10\.\d{4,}/\S+", paper["doi"])
    assert paper["doi"] in (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(author.get("name") or author.get("family-names") for author in paper["authors"])


@pytest.mark.skipif(not FORMS, reason="a source archive holds no forms")
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_forms_of_issues(form: Path) -> None:
    """What a host asks of a form: names, known kinds of fields, a label for each, and ids of their own."""
    content = yaml.safe_load(form.read_text(encoding="utf-8"))
    if form.stem == "config":
        assert set(content) <= {"blank_issues_enabled", "contact_links"}
        return
    assert {"name", "description", "body"} <= set(content)
    fields = [field for field in content["body"] if field["type"] != "markdown"]
    assert all(field["type"] in ("input", "textarea", "dropdown", "checkboxes") for field in fields)
    assert all(field["attributes"]["label"] for field in fields)
    ids = [field["id"] for field in fields]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[\w-]+", name) for name in ids)
