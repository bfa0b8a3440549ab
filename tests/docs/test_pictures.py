"""The pictures of the docs: each is on a page, and none has lost colours to a palette."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from tests import ROOT
from tests.docs.pages import PAGES

SHOWN = re.compile(r'\]\(([^)#\s]+)[^)]*\)|(?:src|srcset)="([^"]+)"')
KINDS = (".png", ".jpg", ".svg")
IMAGES = ROOT / "docs" / "images"
PICTURES = sorted(path for path in IMAGES.iterdir() if path.suffix in KINDS)
FAVICON = IMAGES / "favicon.svg"


def _shown() -> set[Path]:
    """All pictures that pages show or link."""
    found = set()
    for page in PAGES:
        for markdown, html in SHOWN.findall(page.read_text(encoding="utf-8")):
            target = markdown or html
            if target.endswith(KINDS) and not target.startswith(("http", "data:")):
                found.add((page.parent / target).resolve())
    return found


def test_every_picture_is_on_a_page() -> None:
    assert len(PICTURES) > 20
    assert set(PICTURES) - {FAVICON} <= _shown()


def test_every_shown_picture_exists() -> None:
    assert {path for path in _shown() if not path.is_file()} == set()


@pytest.mark.parametrize("path", [path for path in PICTURES if path.suffix != ".svg"], ids=lambda path: path.name)
def test_no_palette(path: Path) -> None:
    """A palette gives classes of a legend each other's colours."""
    with Image.open(path) as picture:
        assert picture.mode in ("RGB", "RGBA")
    assert path.stat().st_size < 500_000
