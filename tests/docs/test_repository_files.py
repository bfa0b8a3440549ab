"""Files that the repository's host reads: the citation and the forms of issues."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests import ROOT

FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def test_the_citation_names_the_paper_and_the_software() -> None:
    content = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors", "type", "license"} <= set(content)
    assert content["license"] == "Apache-2.0"
    assert content["preferred-citation"]["doi"] in (ROOT / "README.md").read_text(encoding="utf-8")
    assert content["preferred-citation"]["authors"]


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
