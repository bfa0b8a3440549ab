"""Write the tables of claims into the pages that show them, from docs/evidence/claims.json.

python benchmarks/evidence_tables.py            # README.md and the pages of docs/
python benchmarks/evidence_tables.py --check    # writes nothing; exit code 1 where a page would change

A page asks for a claim by a pair of comments. What stands between them is replaced: the table, the note, and how it was
measured; with ``, table`` after the name, the table alone.

    <!-- evidence: robustness -->
    <!-- end of evidence -->

A claim in claims.json has ``claim`` (one sentence), ``head``, ``rows`` and ``align`` of its table, ``measured``
(commands, machine, date), ``more`` (the page with the details) and perhaps a ``note`` and a ``picture`` (file and
text). In place of ``head`` and ``rows``, ``from`` names another JSON file, of records by name, which of their keys
(``eager.gmacs``) become columns, and perhaps which records become rows under which title.
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

from cimnet.evaluation.spread import spread
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
        columns, titles = claim["from"]["columns"], claim["from"].get("rows") or dict.fromkeys(records, "")
        head = ["", *columns]
        rows = [
            [title or name, *(_cell(records, key, name) for key in columns.values())] for name, title in titles.items()
        ]
    return markdown_table(head or [], rows or [], claim["align"])


def _cell(records: dict[str, Any], key: str, name: str) -> object:
    """The value of a record by a key such as ``eager.gmacs`` or ``scenes.*.miou``, where ``*`` is the record's name;
    ``/1e6:.1f`` divides and formats it. Shares by seed become mean ± deviation in per cent; what was not measured is
    empty."""
    path, _, form = (key if "*" in key else f"*.{key}").partition("/")
    value: Any = records
    for part in path.split("."):
        value = value.get(name if part == "*" else part, {}) if isinstance(value, dict) else {}
    if isinstance(value, dict):
        return spread(list(value.values())) if value else ""
    divisor, _, digits = form.partition(":")
    return format(value / float(divisor), digits) if form else value


def block_of(claim: dict[str, Any], page: Path) -> str:
    """The table, the note and the measurement of a claim, with links that hold in ``page``."""
    measured = claim["measured"]
    more = _link(claim["more"], page)
    note = f"{_wrapped(claim['note'])}\n\n" if "note" in claim else ""
    picture = (
        f"![{claim['picture']['text']}]({_link(claim['picture']['file'], page)})\n\n" if "picture" in claim else ""
    )
    commands = "\n".join(measured["commands"])
    return (
        f"### {claim['claim'].rstrip('.')}\n\n{table_of(claim)}\n{picture}{note}"
        f"Measured on {measured['date']}, {measured['machine']} ([details]({more})):\n\n```bash\n{commands}\n```\n"
    )


def _link(target: str, page: Path) -> str:
    """A file of the repository as ``page`` links it."""
    return os.path.relpath(ROOT / target, page.parent).replace(os.sep, "/")


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
