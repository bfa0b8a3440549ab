"""The API pages say what each argument and each field of a public name is."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT

sys.path.insert(0, str(ROOT / "docs" / "_site"))
from api_reference import PACKAGES, home_of, public_names

ENTRY = re.compile(r"^ {4}((?:\*{0,2}\w+, )*\*{0,2}\w+): ", re.MULTILINE)


def _nodes() -> Iterator[tuple[str, ast.FunctionDef | ast.ClassDef]]:
    """Public classes and functions by their full name."""
    modules = ["cimnet", *(module for modules in PACKAGES.values() for module in modules)]
    for full in sorted({home_of(module, name) for module in modules for name in public_names(module)}):
        module, _, name = full.rpartition(".")
        path = ROOT / "src" / Path(*module.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
                yield full, node


def _docstrings() -> Iterator[tuple[str, str]]:
    """Every docstring in the package, with its place."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}", ast.get_docstring(node) or ""


def _described(node: ast.FunctionDef | ast.ClassDef) -> set[str]:
    """Names with an entry under ``Args:`` or ``Attributes:``."""
    text = ast.get_docstring(node) or ""
    entries = [name for found in ENTRY.findall(text) for name in found.split(", ")]
    return {name.lstrip("*") for name in entries}


def _wanted(node: ast.FunctionDef | ast.ClassDef) -> set[str]:
    """Parameters of a function or of ``__init__``; the fields of a dataclass or named tuple."""
    if isinstance(node, ast.FunctionDef):
        given = node.args
        names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs) if one.arg != "self"]
        return set(names) | {one.arg for one in (given.vararg, given.kwarg) if one is not None}
    makes = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
    if makes:
        return _wanted(makes[0])
    if not node.decorator_list and "NamedTuple" not in [ast.unparse(base) for base in node.bases]:
        return set()
    fields = [part for part in node.body if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)]
    return {part.target.id for part in fields if "ClassVar" not in ast.unparse(part.annotation)} - {"_"}


NODES = dict(_nodes())
CLIPPED = re.compile(r"(?:What|Which|Of|Those|These|Its|As|By|In|From|The reverse)\b")
"""Beginnings of a summary that only make sense behind the name, such as "Of the pairs."."""


def test_summaries_are_sentences_or_noun_phrases() -> None:
    texts = dict(_docstrings())
    assert len(texts) > 2000
    assert [place for place, text in texts.items() if CLIPPED.match(text)] == []


@pytest.mark.parametrize("name", NODES)
def test_every_argument_and_field_is_described(name: str) -> None:
    wanted = {one for one in _wanted(NODES[name]) if not one.startswith("_")}
    if len(wanted) < 2 and not isinstance(NODES[name], ast.ClassDef):
        return  # one argument is described by the sentence
    assert sorted(wanted - _described(NODES[name])) == []


def test_many_names_are_looked_at() -> None:
    assert len(NODES) > 80
