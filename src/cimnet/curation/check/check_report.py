"""The report of the checks: findings and figures, as Markdown, as JSON and as pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cimnet.curation.check.findings import SEVERITIES, Finding, Severity
from cimnet.curation.check.sheet import Sheet
from cimnet.utils.numbers import pluralize
from cimnet.utils.tables import markdown_table
from cimnet.version import __version__

VERSION = 1
"""Of the JSON: it goes up when a field is renamed or removed, or its meaning changes."""


@dataclass(frozen=True)
class Report:
    """The findings in a data set folder.

    Attributes:
        root: the folder.
        layout: name of its layout; "" if it has none.
        findings: errors first, then warnings, then notes.
        summary: figures for JSON: pairs, images, splits, sizes, formats, depths, scenes, flags, thermal, classes,
            ignore, alignment. Empty if the folder could not be listed.
        sheet: images for :meth:`contact_sheet`.
    """

    root: Path
    layout: str
    findings: tuple[Finding, ...]
    summary: dict[str, Any] = field(default_factory=dict)
    sheet: Sheet = field(default_factory=Sheet)

    def of(self, severity: Severity) -> list[Finding]:
        """The findings of a severity."""
        return [finding for finding in self.findings if finding.severity == severity]

    def exit_code(self, strict: bool = False) -> int:
        """1 if there are errors (with `strict`: or warnings), else 0."""
        return int(bool(self.of("error") or (strict and self.of("warning"))))

    def to_json(self) -> str:
        """Everything: fields version, cimnet, root, layout, counts, findings and summary."""
        content = {
            "version": VERSION,
            "cimnet": __version__,
            "root": self.root.as_posix(),
            "layout": self.layout,
            "counts": {severity: len(self.of(severity)) for severity in SEVERITIES},
            "findings": [finding.to_dict() for finding in self.findings],
            "summary": self.summary,
        }
        return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def to_markdown(self, shown: int = 5) -> str:
        """Return the report for a terminal or a page. `shown`: the number of names listed for each finding."""
        counts = ", ".join(pluralize(len(self.of(severity)), severity) for severity in SEVERITIES)
        parts = [f"# {_code(self.root.as_posix())}: {counts}"]
        if self.summary:
            parts += [_facts(self.summary), _splits(self.summary)]
        for severity in SEVERITIES:
            findings = self.of(severity)
            if findings:
                parts.append(f"## {severity.capitalize()}s")
                parts.append("\n".join(_finding(finding, shown) for finding in findings))
        if self.summary.get("classes"):
            parts += ["## Classes", _classes(self.summary)]
        return "\n\n".join(part for part in parts if part) + "\n"

    def contact_sheet(self, path: str | Path) -> None:
        """Write one PNG or JPEG: typical pairs of each split, and examples of what was found.

        Raises:
            CimnetError: another suffix, nothing to show, or the file cannot be written.
        """
        self.sheet.write(Path(path))


def _facts(summary: dict[str, Any]) -> str:
    def listed(counts: dict[str, int]) -> str:
        return ", ".join(f"{name} ({count:,})" for name, count in counts.items()) or "none"

    lines = [
        f"- {pluralize(summary['pairs'], 'pair')}, {summary['images']['label']:,} labels, layout {summary['layout']}",
        f"- sizes: {listed(summary['sizes'])}; thermal: {listed(summary['depths'])}",
        *(f"- {kind}: {listed(forms)}" for kind, forms in summary["formats"].items() if forms),
    ]
    thermal = summary["thermal"]
    if thermal["low"] is not None:
        lines.append(f"- thermal values: {thermal['low']:g} to {thermal['high']:g}; scaled by: {thermal['scaling']}")
    if summary["scenes"]:
        lines.append(f"- scenes: {listed(summary['scenes'])}")
    if summary["flags"]:
        lines.append(f"- flags: {listed(summary['flags'])}")
    alignment = summary["alignment"]
    if alignment is not None:
        known = f"unknown in {100 * alignment['unknown']:.0f}%"
        if "median" in alignment:
            known = f"median {alignment['median']:.1f} px, 90th percentile {alignment['p90']:.1f} px, {known}"
        lines.append(f"- offset of RGB and thermal in {pluralize(alignment['pairs'], 'pair')}: {known}")
    return "\n".join(lines)


def _splits(summary: dict[str, Any]) -> str:
    rows = [[name, f"{row['pairs']:,}", f"{row['labelled']:,}"] for name, row in summary["splits"].items()]
    return _table(["split", "pairs", "labelled"], rows)


def _classes(summary: dict[str, Any]) -> str:
    splits = [split for split, row in summary["splits"].items() if row["labelled"]]
    totals = {split: sum(row["splits"].get(split, 0) for row in summary["classes"]) for split in splits}
    rows = []
    for row in summary["classes"]:
        shares = [_percent(row["splits"].get(split, 0), totals[split]) for split in splits]
        rows.append([str(row["id"]), row["name"], f"{100 * row['share']:.2f}", f"{row['images']:,}", *shares])
    ignore = summary["ignore"]
    note = f"Shares in % of the labelled pixels; 255 (ignore): {100 * ignore['share']:.2f}% of all label pixels, in "
    table = _table(["id", "class", "share", "images", *splits], rows)
    return f"{table}\n\n{note}{pluralize(ignore['images'], 'image')}."


def _finding(finding: Finding, shown: int) -> str:
    remedy = f" → {finding.remedy}." if finding.remedy else ""
    lines = [f"- **{finding.code}**: {_plain(finding.message)}.{_plain(remedy)}"]
    for item in finding.items[:shown]:
        lines.append(f"    - {_code(item.name)}{': ' + _plain(item.detail) if item.detail else ''}")
    if finding.count > shown:
        lines.append(f"    - and {finding.count - shown:,} more")
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    align = "".join("l" if name in ("split", "class") else "r" for name in head)
    return markdown_table(
        [_plain(name) for name in head], [[_plain(cell) for cell in row] for row in rows], align
    ).rstrip()


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f}" if whole else "–"


def _code(name: str) -> str:
    return f"`{name.replace('`', chr(39))}`"


def _plain(text: str) -> str:
    """Text whose *, _, [ and < Markdown leaves alone, also with `code` in it."""
    parts = text.split("`")
    code = len(parts) % 2  # marks in pairs
    for place, part in enumerate(parts):
        if not code or place % 2 == 0:
            for mark in "\\*_[<":
                part = part.replace(mark, f"\\{mark}")
            parts[place] = part
    return "`".join(parts) if code else "\\`".join(parts)
