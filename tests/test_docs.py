"""Links, paths and figures that the pages state: all of them must be true of the checkout."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from cimnet.inference.windows import STRIP
from tests import ROOT
from tests.docs.pages import PAGES

LINK = re.compile(r"\]\(([^()\s]+)\)")


def _headings(page: Path) -> set[str]:
    """Anchors of a page, as GitHub makes them."""
    lines = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    return {re.sub(r"[^\w -]", "", line.lstrip("# ")).lower().replace(" ", "-") for line in lines}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if "://" in link or link.startswith("mailto:"):
            continue
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in _headings(target)):
            dead.append(link)
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_leads_out_of_the_checkout(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in LINK.findall(text) if "://" not in link]
    outside = [link for link in links if not (page.parent / link).resolve().is_relative_to(ROOT.resolve())]
    assert outside + re.findall(r"(?:\.\./)+shared/\S*|/work/\S*|/home/\w\S*", text) == []


def test_the_strip_width_in_the_guide_is_that_of_the_code() -> None:
    guide = (ROOT / "docs" / "guides" / "predict.md").read_text(encoding="utf-8")
    assert f"strips of {STRIP:,} columns" in " ".join(guide.split())


def test_the_source_archive_holds_what_the_pages_link_to() -> None:
    """Its fast tests, of which this page's are some, pass after unpacking."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    inside = tomllib.loads(text)["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    linked = set()
    for page in PAGES:
        links = [link.partition("#")[0] for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
        linked |= {(page.parent / link).resolve().relative_to(ROOT.resolve()) for link in links if link}
    left_out = {path for path in linked if not any(path.is_relative_to(name) for name in [*inside, "pyproject.toml"])}
    assert left_out == set()
