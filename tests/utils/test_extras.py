"""One sentence says which extra is missing, and one place says it."""

from __future__ import annotations

import ast
import re
import sys
from functools import cache

import pytest

from cimnet.errors import ConfigError, DataError
from cimnet.utils.extras import require
from tests import ROOT
from tests.test_dependencies import PACKAGES, canonical, required

SOURCE = ROOT / "src" / "cimnet"
PLACE = SOURCE / "utils" / "extras.py"
SENTENCE = r'^aerial images: the extra geo is missing \(.*rasterio.*\); pip install "cimnet\[geo\]"$'


@cache
def _trees() -> dict[str, ast.Module]:
    paths = [path for path in sorted(SOURCE.rglob("*.py")) if path != PLACE]
    return {str(path.relative_to(SOURCE)): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def _imports(tree: ast.Module, function: str) -> bool:
    froms = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "cimnet.utils.extras"]
    return function in {alias.name for node in froms for alias in node.names}


def _uses(function: str) -> list[tuple[str, ast.Call]]:
    trees = {where: tree for where, tree in _trees().items() if _imports(tree, function)}
    calls = [(where, node) for where, tree in trees.items() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [(where, call) for where, call in calls if isinstance(call.func, ast.Name) and call.func.id == function]


def _text(node: ast.expr) -> str:
    assert isinstance(node, ast.Constant)
    return str(node.value)


def test_no_other_place_names_pip() -> None:
    texts = [
        (where, node.value)
        for where, tree in _trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert [(where, text) for where, text in texts if "pip install" in text] == []


def test_every_extra_that_is_asked_for_brings_the_module() -> None:
    brought = {(extra, canonical(re.sub(r"\[.*", "", name))) for extra, name, _ in required()}
    extras = {extra for extra, _ in brought}
    uses = _uses("require")
    assert {where.partition("/")[0] for where, _ in uses} == {"data", "deploy", "inference", "registration", "training"}
    for where, call in uses:
        assert len(call.args) == 3, where
        if isinstance(call.args[1], ast.Name):  # a function that hands its caller's extra on
            continue
        names = _text(call.args[1]).split(",")
        assert set(names) <= extras, where
        if isinstance(call.args[0], ast.Constant):
            module = _text(call.args[0]).partition(".")[0]
            assert (names[0], canonical(PACKAGES.get(module, module))) in brought, where
    assert {_text(call.args[0]) for _, call in _uses("install")} <= extras


def test_the_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(ConfigError, match=SENTENCE) as caught:
        require("rasterio", "geo", "aerial images")
    assert isinstance(caught.value, DataError)
    assert require("json", "geo", "x").loads("1") == 1
