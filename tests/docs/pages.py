"""The pages that the tests read, and the blocks of code in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FENCE = re.compile(r"^( *)```([\w-]*)[^\n]*\n(.*?)^\1```[ \t]*$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


class Block(NamedTuple):
    """A block of code: the page, the line where it begins, its language (empty: none is said) and its text.

    ``before`` is the text between the block and the one before it.
    """

    page: Path
    line: int
    language: str
    text: str
    before: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def fenced(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page."""
    text, end = page.read_text(encoding="utf-8"), 0
    for match in FENCE.finditer(text):
        indent = len(match[1])
        code = "".join(line[indent:] for line in match[3].splitlines(keepends=True))
        yield Block(page, text.count("\n", 0, match.start()) + 2, match[2], code, text[end : match.start()])
        end = match.end()


def without_fenced(page: Path) -> str:
    """The text of a page with empty lines in place of its fenced blocks."""
    return FENCE.sub(lambda match: "\n" * match[0].count("\n"), page.read_text(encoding="utf-8"))


def indented(page: Path) -> Iterator[Block]:
    """The blocks that four spaces make, outside of lists and fences."""
    text = without_fenced(page)
    for match in re.finditer(r"(?<=\n\n)(?: {4}[^\n]*\n)+", text):
        yield Block(page, text.count("\n", 0, match.start()) + 1, "", re.sub(r"^ {4}", "", match[0], flags=re.M), "")


def spans(page: Path) -> Iterator[Block]:
    """Code inside of lines."""
    text = without_fenced(page)
    for match in SPAN.finditer(text):
        yield Block(page, text.count("\n", 0, match.start()) + 1, "", match[1], "")
