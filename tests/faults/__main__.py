"""Try every fault: ``python -m tests.faults --write docs/reference/faults.md --tables FILE``.

``--write`` puts the counts between the marks of the page, whose other text is kept. ``--tables`` writes a page of its
own with a row for each fault: what happens, in the words of the message. It is made when wanted and not committed.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from pathlib import Path

from cimnet.utils.tables import markdown_table
from tests.faults.bench import Fault, Skipped, try_fault
from tests.faults.table import FAULTS

BEGIN, END = (
    "<!-- faults: written by python -m tests.faults --write docs/reference/faults.md -->",
    "<!-- end of faults -->",
)
LONGEST = 220


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="page to put the counts into")
    parser.add_argument("--tables", type=Path, help="page of all rows to write")
    options = parser.parse_args()
    rows = {fault.name: row(fault) for fault in FAULTS}
    wrong = [name for name, (_, right) in rows.items() if not right]
    if options.tables is not None:
        options.tables.write_text(tables({name: text for name, (text, _) in rows.items()}), encoding="utf-8")
    if options.write is not None:
        before, _, rest = options.write.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        options.write.write_text(f"{before}{BEGIN}\n\n{summary()}\n{END}{after}", encoding="utf-8")
    print(f"{len(rows)} faults, {len(wrong)} with another outcome than expected: {wrong}")
    sys.exit(bool(wrong))


def summary() -> str:
    """How many faults there are of each group, in Markdown."""
    counts = Counter(fault.group for fault in FAULTS)
    refused = Counter(fault.group for fault in FAULTS if fault.error is not None)
    right = len(FAULTS) - refused.total()
    head = f"**{len(FAULTS)} faults**, {refused.total()} of which must be refused and {right} come out right.\n\n"
    rows = [(group, count, refused[group], count - refused[group]) for group, count in counts.items()]
    return head + markdown_table(["group", "faults", "refused", "come out right"], rows)


def tables(rows: dict[str, str]) -> str:
    """A page with a table for each group."""
    lines = ["# Bad input, row by row\n"]
    for group in dict.fromkeys(fault.group for fault in FAULTS):
        lines.append(f"## {group[0].upper()}{group[1:]}\n")
        found = [(_cell(f.name), rows[f.name]) for f in FAULTS if f.group == group]
        lines.append(markdown_table(["fault", "what happens"], found, "l"))
    return "\n".join(lines).rstrip("\n") + "\n"


def row(fault: Fault) -> tuple[str, bool]:
    """The second cell of a fault's row, and whether the outcome was the right one."""
    try:
        outcome = try_fault(fault)
    except Skipped as reason:
        return f"(not tried on this machine: {reason})", True
    kind = "✓" if outcome.error is None else f"`{type(outcome.error).__name__}`"
    right = (fault.error is None) == (outcome.error is None) and re.search(fault.says, outcome.text) is not None
    right = right and not outcome.left and (fault.error is None or isinstance(outcome.error, fault.error))
    return f"{kind} {_cell(_shorten(outcome.text))}", right


def _shorten(text: str) -> str:
    """The start and the end, where the remedy stands."""
    text = re.sub(r"\.\d+\.part\b", ".PID.part", re.sub(r"(.)\1{30,}", r"\1\1\1…", text))
    half = LONGEST // 2
    return text if len(text) <= LONGEST else f"{text[:half]} … {text[-half:]}"


def _cell(text: str) -> str:
    """Text that Markdown leaves as it is; bars are the table's."""
    text = re.sub(r"[\x00-\x1f\x7f]", lambda match: repr(match[0])[1:-1], text)
    return re.sub(r"([\\<>*_`\[\]$~])", r"\\\1", text)


if __name__ == "__main__":
    main()
