"""README.md in the package's metadata: links that a package index can follow."""

from __future__ import annotations

import re

import pytest

from tests import ROOT

hatch_build = pytest.importorskip("hatch_build", reason="hatchling, which builds the package, is not installed")


def test_links_become_absolute() -> None:
    text = hatch_build.readme("![a](docs/images/a.jpg) [b](src/b.py#L1) [c](https://c.org) [d](#d)", "https://r.org/x/")
    assert text == (
        "![a](https://r.org/x/raw/main/docs/images/a.jpg) [b](https://r.org/x/blob/main/src/b.py#L1) "
        "[c](https://c.org) [d](#d)"
    )


PICTURE = """<picture>
<source media="(prefers-color-scheme: dark)" srcset="docs/dark.svg">
<img alt="a" src="docs/light.svg">
</picture>
"""


def test_both_schemes_of_a_picture_become_absolute() -> None:
    text = hatch_build.readme(PICTURE, "https://r.org/x")
    assert 'srcset="https://r.org/x/raw/main/docs/dark.svg"' in text
    assert 'src="https://r.org/x/raw/main/docs/light.svg"' in text


def test_without_an_address_nothing_is_dead() -> None:
    assert hatch_build.readme(f"before\n\n{PICTURE}\nafter", "") == "before\n\n\nafter"
    assert hatch_build.readme("![a](a.jpg) [b](b.md), [c](https://c.org)", "") == " b, [c](https://c.org)"


@pytest.mark.parametrize("repository", ["", "https://example.org/cimnet"])
def test_the_readme_has_no_relative_link(repository: str) -> None:
    text = hatch_build.readme((ROOT / "README.md").read_text(encoding="utf-8"), repository)
    links = re.findall(r"\]\(([^)]+)\)", text) + re.findall(r'(?:src|srcset|href)="([^"]+)"', text)
    assert [link for link in links if not re.match(r"https?://|#", link)] == []
