"""Templates escape what is put into them, and lie in the package that is installed."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import jinja2
import pytest

from cimnet.utils.templates import load_templates
from tests import ROOT

REPORTS = load_templates("cimnet.analysis", "html")


def test_what_is_put_in_is_escaped() -> None:
    text = REPORTS.from_string("<i>{{ name }}</i>{{ name|describe }}").render(name='<script>&"')
    assert text == "<i>&lt;script&gt;&amp;&#34;</i>&lt;script&gt;&amp;&#34;"


def test_a_name_that_was_not_given_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="missing"):
        REPORTS.from_string("{{ missing }}").render()


def test_every_template_compiles() -> None:
    names = REPORTS.list_templates(extensions=["html"])
    assert {"page.html", "parts.html", "run_report.html", "robustness.html", "explain.html"} <= set(names)
    for name in names:
        REPORTS.get_template(name)


def test_no_markup_in_python() -> None:
    """HTML and CSS lie in files of their own, which an editor can open."""
    drawn = [path for room in ("analysis", "deploy/app") for path in (ROOT / "src/cimnet" / room).rglob("*.py")]
    assert drawn
    marks = ("<div", "<span", "<p>", "<li", "<td", "<section", "font-size:", "</")
    assert [str(path) for path in drawn if any(mark in path.read_text(encoding="utf-8") for mark in marks)] == []


@pytest.mark.slow
def test_a_wheel_holds_templates_styles_and_weights(tmp_path: Path) -> None:
    build = "import sys, hatchling.build; print(hatchling.build.build_wheel(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    files = [path for path in (ROOT / "src").rglob("*") if path.suffix in (".html", ".css", ".safetensors")]
    assert files
    assert {str(path.relative_to(ROOT / "src")) for path in files} <= packed
