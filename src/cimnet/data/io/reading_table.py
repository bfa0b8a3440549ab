"""The table of `docs/reference/files.md`: what happens with each property of a file, by the rules of the readers.

`python -m cimnet.data.io.reading_table docs/reference/files.md` rewrites it there, between its two marks.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cimnet.data.io.rule import USES
from cimnet.data.io.rules import RULES

BEGIN, END = "<!-- reading table -->", "<!-- end of the reading table -->"


def reading_table() -> str:
    """The rules as a Markdown table: one row a property, one column a use."""
    head = ["what a file says", "said by", *USES.values()]
    rows = [[rule.name, rule.carriers, *(rule.actions[use].words for use in USES)] for rule in RULES]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines) + "\n"


def replace_table(text: str) -> str:
    """A page with the table as it is now.

    Raises:
        ValueError: the page has no marks.
    """
    before, _, rest = text.partition(f"{BEGIN}\n")
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"no marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{reading_table()}{END}{after}"


def main(arguments: list[str]) -> None:
    """Rewrite the table in the pages named."""
    for name in arguments:
        page = Path(name)
        page.write_text(replace_table(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
