"""Write the tables of claims into the pages that show them, from docs/evidence/claims.json.

python benchmarks/evidence_tables.py            # README.md and the pages of docs/
python benchmarks/evidence_tables.py --check    # writes nothing; exit code 1 where a page would change

A page asks for a claim by a pair of comments. What stands between them is replaced: the table, the note, and how it was
measured; with ``, table`` after the name, the table alone.

    <!-- evidence: robustness -->
    <!-- end of evidence -->

A claim in claims.json has ``claim`` (one sentence), ``head``, ``rows`` and ``align`` of its table, ``measured``
(commands, machine, date), ``more`` (the page with the details) and perhaps a ``note``. In place of ``head`` and
``rows``, ``from`` names another JSON file, of records by name, and which of their keys (``eager.gmacs``) become
columns.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

from cimnet.utils.files import write_text
from cimnet.utils.tables import markdown_table

ROOT = Path(__file__).resolve().parents[1]
CLAIMS = ROOT / "docs" / "evidence" / "claims.json"
MARK = re.compile(r"(<!-- evidence: (\w+)(, table)? -->\n).*?(<!-- end of evidence -->\n)", re.DOTALL)
Claims = dict[str, dict[str, Any]]


def load_claims() -> Claims:
    """Claims by name."""
    claims: Claims = json.loads(CLAIMS.read_text(encoding="utf-8"))
    return claims


def table_of(claim: dict[str, Any]) -> str:
    """The table of a claim in Markdown."""
    head, rows = claim.get("head"), claim.get("rows")
    if "from" in claim:
        records = json.loads((ROOT / claim["from"]["file"]).read_text(encoding="utf-8"))
        columns = claim["from"]["columns"]
        head = ["", *columns]
        rows = [[name, *(_value(record, key) for key in columns.values())] for name, record in records.items()]
    return markdown_table(head or [], rows or [], claim["align"])


def _value(record: dict[str, Any], key: str) -> object:
    """A value inside a record, by a key such as ``eager.gmacs``; empty where it was not measured."""
    value: Any = record
    for part in key.split("."):
        value = value.get(part, {}) if isinstance(value, dict) else {}
    return "" if value == {} else value


def block_of(claim: dict[str, Any], page: Path) -> str:
    """The table, the note and the measurement of a claim, with links that hold in ``page``."""
    measured = claim["measured"]
    more = os.path.relpath(ROOT / claim["more"], page.parent).replace(os.sep, "/")
    note = f"{_wrapped(claim['note'])}\n\n" if "note" in claim else ""
    commands = "\n".join(measured["commands"])
    return (
        f"### {claim['claim'].rstrip('.')}\n\n{table_of(claim)}\n{note}"
        f"Measured on {measured['date']}, {measured['machine']} ([details]({more})):\n\n```bash\n{commands}\n```\n"
    )


def _wrapped(text: str) -> str:
    """Lines as long as those of the hand-written pages."""
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def filled(page: Path, text: str, claims: Claims) -> str:
    """The page's text with current tables.

    Raises:
        KeyError: a page asks for a claim that does not exist.
    """

    def fill(match: re.Match[str]) -> str:
        begin, name, table_alone, end = match.groups()
        claim = claims[name]
        return f"{begin}\n{table_of(claim) if table_alone else block_of(claim, page)}\n{end}"

    return MARK.sub(fill, text)


def pages() -> list[Path]:
    """All pages that may show claims."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page would change")
    options = parser.parse_args()
    claims, stale = load_claims(), []
    for page in pages():
        text = page.read_text(encoding="utf-8")
        new = filled(page, text, claims)
        if new != text:
            stale.append(str(page.relative_to(ROOT)))
            if not options.check:
                write_text(page, new)
    print("\n".join(stale) or "all tables are current")
    sys.exit(1 if options.check and stale else 0)


if __name__ == "__main__":
    main()
