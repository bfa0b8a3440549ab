"""The Python that the pages show runs, page by page, in a folder with tiny files of the names that it uses.

A block that cannot run here has a comment before it that says why: ``<!-- not run: needs a GPU -->``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cimnet.training.recipe import Recipe, parse_recipe
from tests import ROOT
from tests.conftest import Trained
from tests.docs.belongings import lay_out, names_known
from tests.docs.pages import PAGES, Block, fenced

NOT_RUN = re.compile(r"<!-- not run: (\S.+?) -->\s*$")


def _blocks(page: Path, language: str) -> list[Block]:
    return [block for block in fenced(page) if block.language == language]


def _to_run(page: Path) -> list[Block]:
    return [block for block in _blocks(page, "python") if not NOT_RUN.search(block.before)]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch, trained: Trained) -> Iterator[None]:
    """Requests to the address of `cimnet serve` are answered by the server's application, inside this process."""
    httpx = pytest.importorskip("httpx")
    testclient = pytest.importorskip("starlette.testclient")
    pytest.importorskip("fastapi")
    import cimnet
    from cimnet.deploy.serve import create_app

    with testclient.TestClient(create_app(cimnet.load(trained.best, "cpu"))) as client:

        def post(url: str, **options: Any) -> Any:
            options.pop("timeout")
            return client.post(re.sub(r"^http://127\.0\.0\.1:\d+", "", url), **options)

        monkeypatch.setattr(httpx, "post", post)
        yield


@pytest.mark.docs
@pytest.mark.parametrize(
    "page", [page for page in PAGES if _to_run(page)], ids=lambda page: str(page.relative_to(ROOT))
)
@pytest.mark.usefixtures("answers")
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: Trained) -> None:
    blocks = _to_run(page)
    lay_out(tmp_path, "\n".join(block.text for block in blocks), trained)
    monkeypatch.chdir(tmp_path)
    names = names_known()
    for block in blocks:
        exec(compile("\n" * (block.line - 1) + block.text, str(block.page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_is_python(page: Path) -> None:
    """Also what does not run here."""
    for block in _blocks(page, "python"):
        compile(block.text, str(block), "exec")


def test_few_blocks_are_not_run() -> None:
    every = [block for page in PAGES for block in _blocks(page, "python")]
    run = [block for page in PAGES for block in _to_run(page)]
    assert len(run) > len(every) / 2


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_yaml_is_yaml_and_recipes_are_recipes(page: Path) -> None:
    for block in _blocks(page, "yaml"):
        content = yaml.safe_load(block.text)
        if isinstance(content, dict) and set(content) - {"base"} and set(content) <= {"base", *Recipe.model_fields}:
            content.pop("base", None)
            content["data"] = {"root": "data/mine", **content.get("data", {})}
            parse_recipe(content, str(block))
