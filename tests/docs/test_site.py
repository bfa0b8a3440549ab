"""The site: what its hooks do to pages, that it builds without a warning, and that a browser gets all of it from it."""

from __future__ import annotations

import fnmatch
import functools
import http.server
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cimnet.analysis.model_list import published_names
from cimnet.models import list_models
from cimnet.models.registry import list_networks
from tests import ROOT
from tests.fakes.http_server import serving

CHROMIUM = Path("/usr/bin/chromium")
LOADS = re.compile(r"<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\bsrc=[\"']?(?:https?:)?//[^>]*>")
LINKS = re.compile(r"<link\b[^>]*>")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    for package in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(package)
    out = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


@pytest.mark.docs
def test_every_page_is_in_the_menu(site: Path) -> None:
    """Also of those that are generated: --strict refuses a page that the menu leaves out."""
    built = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    written = {p.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for p in (ROOT / "docs").rglob("*.md")}
    assert written <= built
    assert {"reference/cli.html", "reference/recipe.html", "reference/api.html", "contributing/changelog.html"} <= built


@pytest.mark.docs
def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    foreign: list[str] = []
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        tags = LOADS.findall(text) + [tag for tag in LINKS.findall(text) if "canonical" not in tag]
        foreign += [tag for tag in tags if "//" in tag]
    for style in site.rglob("*.css"):
        foreign += re.findall(r"(?:url\(|@import\s+)[\"']?(?:https?:)?//[^)\"']*", style.read_text(encoding="utf-8"))
    assert foreign == []


@pytest.mark.docs
def test_docstrings_show_no_roles_of_sphinx(site: Path) -> None:
    for page in (site / "reference").rglob("*.html"):
        assert re.findall(r":(?:func|class|mod|meth|attr):", page.read_text(encoding="utf-8")) == [], page


@pytest.mark.docs
def test_the_reference_has_every_command_field_and_name(site: Path) -> None:
    from cli_reference import commands

    import cimnet
    from cimnet.training.recipe import Recipe

    ids = {
        page: set(re.findall(r'id="([^"]+)"', (site / "reference" / f"{page}.html").read_text(encoding="utf-8")))
        for page in ("cli", "recipe", "api")
    }
    assert {path.replace(" ", "-") for path, _ in commands()} <= ids["cli"]
    assert set(Recipe.model_fields) <= ids["recipe"]
    names = {name.rpartition(".")[2] for name in ids["api"]}
    assert {name for name in cimnet.__all__ if not name.startswith("_")} <= names


@pytest.mark.docs
@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason="no chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser(site: Path, width: int) -> None:
    """Nothing is asked of another host, no page is wider than the window, and the search finds."""
    driver = pytest.importorskip("playwright.sync_api")
    with serving(functools.partial(_Quiet, directory=str(site))) as address, driver.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 800})
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for name in ("index", "start/your-own-pair", "guides/data", "models/cmx", "reference/cli", "evidence/index"):
            page.goto(f"{address}/{name}.html")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        page.goto(f"{address}/index.html?q=misaligned")
        page.wait_for_selector(".md-search-result__item", state="attached")
        browser.close()
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.mark.parametrize(
    ("link", "repository", "expected"),
    [
        ("[a](../models/index.md#x)", "", "[a](../models/index.md#x)"),
        ("[a](https://example.org/x)", "", "[a](https://example.org/x)"),
        ("[a](#here)", "", "[a](#here)"),
        ("[`f`](../../src/cimnet/models/cmx.py)", "", "`f`"),
        ("[f](../../pyproject.toml)", "https://h.org/r/", "[f](https://h.org/r/blob/main/pyproject.toml)"),
        ("[f](../../recipes)", "https://h.org/r", "[f](https://h.org/r/tree/main/recipes)"),
        ("[f](../../CHANGELOG.md)", "", "[f](../contributing/changelog.md)"),
        ("[f](../../src/cimnet/cli/main.py)", "https://h.org/r", "[f](../reference/cli.md)"),
        ("[f](../../README.md)", "https://h.org/r", "[f](../index.md)"),
        ("![p](../images/demo.jpg)", "", "![p](../images/demo.jpg)"),
        ("[a](../guides/)", "", "a"),
        ("[a](../guides)", "https://h.org/r", "[a](https://h.org/r/tree/main/docs/guides)"),
        ("```\n[f](../../recipes)\n```", "", "```\n[f](../../recipes)\n```"),
    ],
)
def test_links_on_the_site(link: str, repository: str, expected: str) -> None:
    from site_hooks import with_site_links

    assert with_site_links(f"x\n{link}\ny", "docs/guides", "docs/guides", repository) == f"x\n{expected}\ny"


def test_links_of_a_page_from_the_root() -> None:
    from site_hooks import with_site_links

    text = "[a](docs/reference/files.md) [b](SECURITY.md)"
    mended = with_site_links(text, "", "docs/contributing", "")
    assert mended == "[a](../reference/files.md) [b](security.md)"


def test_the_menu_has_what_is_there() -> None:
    from site_hooks import navigation

    menu = navigation({"guides/data.md", "guides/zebra.md", "deploy/serve.md", "reference/api/data.md"})
    assert menu == [
        {"Home": "index.md"},
        {"Guides": ["guides/data.md", "guides/zebra.md", {"Deploying": ["deploy/serve.md"]}]},
        {"Reference": [{"Python, package by package": ["reference/api/data.md"]}]},
    ]


def test_every_field_of_a_recipe_is_described() -> None:
    from recipe_reference import recipe_page

    rows = [line.split(" | ") for line in recipe_page().splitlines() if line.startswith("| `")]
    assert len(rows) > 60
    assert [row[0] for row in rows if len(row[-1].strip(" |")) < 5] == []


def test_every_model_has_one_page() -> None:
    from families import FAMILIES
    from model_pages import belongs

    for name in (*published_names(), *list_models()):
        pages = [page for page, family in FAMILIES.items() if belongs(family, name)]
        assert len(pages) == (0 if fnmatch.fnmatch(name, "small_*") and name in list_networks() else 1), name
    assert all((ROOT / "docs" / "models" / f"{page}.md").is_file() for page in FAMILIES)
    assert all((ROOT / "src" / "cimnet" / "models" / family.code).exists() for family in FAMILIES.values())


def test_pages_of_models_are_filled_in() -> None:
    from families import FAMILIES
    from model_pages import with_made_parts

    for name in FAMILIES:
        text = (ROOT / "docs" / "models" / f"{name}.md").read_text(encoding="utf-8")
        made = with_made_parts(name, text)
        assert "<!-- made" not in made
        assert ("<svg" in made) == (FAMILIES[name].diagram is not None) == ("<!-- made: diagram -->" in text), name
    assert "| cmx_mit_b2 | 2023 | 66.57 |" in with_made_parts("cmx", "<!-- made: networks -->\n")


def test_a_switch_of_two_names_says_which_one_holds() -> None:
    from cli_reference import cli_page

    page = cli_page()
    assert "| `--normalization`, `--no-normalization` |  | `--normalization` |" in page
    assert "| `--argmax`, `--logits` |  | `--logits` |" in page
    assert "| `--fp16` |  |  |" in page


def test_options_of_a_model_show_their_defaults() -> None:
    """Left out of a recipe, they are those of the model's class, also where a published network has the option."""
    from recipe_reference import recipe_page

    rows = [line.split(" | ") for line in recipe_page().splitlines()]
    defaults = {row[0].strip("| `"): row[2].strip("`") for row in rows if len(row) == 4}
    assert defaults["widths"] == "[64, 128, 320, 512]"
    assert defaults["mutual_information"] == "adversarial"
    assert (defaults["msm"], defaults["head_eps"], defaults["gate"]) == ("true", "1e-05", "image")
