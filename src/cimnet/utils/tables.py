"""Tables as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cimnet.utils.numbers import pluralize

_RULES = {"l": "---", "r": "---:"}


def markdown_table(head: Sequence[object], rows: Iterable[Sequence[object]], align: str = "lr") -> str:
    """A table in GitHub's Markdown, one line a row, with a newline at its end.

    Args:
        head: the columns' titles.
        rows: cells, as many as there are titles; written with ``str``. Bars are escaped, line breaks become spaces.
        align: ``l`` (left) or ``r`` (right) by column; the last letter holds for all that follow.

    Raises:
        ValueError: a row has another number of cells than the head.
    """
    rules = [_RULES[side] for side in align.ljust(len(head), align[-1])[: len(head)]]
    lines = [_line(head), f"|{'|'.join(rules)}|\n"]
    for row in rows:
        if len(row) != len(head):
            cells, titles = pluralize(len(row), "cell"), pluralize(len(head), "title")
            raise ValueError(f"a row of {cells} below {titles}: {list(row)}")
        lines.append(_line(row))
    return "".join(lines)


def _line(cells: Sequence[object]) -> str:
    texts = (" ".join(str(cell).splitlines()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(texts)} |\n"
