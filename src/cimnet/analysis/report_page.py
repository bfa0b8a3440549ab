"""The look of the HTML report: template, style and the small pieces that sections are built from.

The functions escape the text they are given; ``content``, ``rows`` and ``image`` are HTML.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from string import Template

from cimnet.utils.numbers import percent

_STYLE = """
:root { color-scheme: light dark; --page: #f4f6f8; --card: #fff; --ink: #1c2733; --soft: #5b6875; --line: #dde3e9;
  --bar: #b9d8ec; --accent: #0072b2; --chip: #e8eef4; --note: #fff8e6; --note-line: #e69f00; }
@media (prefers-color-scheme: dark) { :root { --page: #11161c; --card: #1a212a; --ink: #dde5ee; --soft: #98a5b3;
  --line: #2d3742; --bar: #1f5274; --accent: #56b4e9; --chip: #28323e; --note: #2a2415; --note-line: #e69f00; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI",
  Roboto, "Helvetica Neue", Arial, sans-serif; overflow-wrap: anywhere; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 20px 48px; }
h1 { margin: 0; font-size: 1.8rem; line-height: 1.2; letter-spacing: -.01em; }
h2 { margin: 0 0 4px; font-size: 1.25rem; }
h3 { margin: 0 0 8px; font-size: 1rem; display: flex; flex-wrap: wrap; gap: 4px 8px; align-items: baseline; }
h3 span { margin-left: auto; font-variant-numeric: tabular-nums; }
p { max-width: 78ch; margin: 6px 0 14px; }
section > p, .sub { color: var(--soft); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 22px; margin-top: 20px; }
em { font-style: normal; font-weight: 400; font-size: .8rem; background: var(--chip); border-radius: 99px;
  padding: 1px 9px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 20px 0; }
.tiles div { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 16px; }
.tiles div:first-child { border-color: var(--accent); }
.tiles b { display: block; font-size: 1.6rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tiles span { color: var(--soft); font-size: .875rem; }
.note { max-width: none; background: var(--note); border-left: 4px solid var(--note-line); border-radius: 4px;
  padding: 12px 16px; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(250px, 1fr)); gap: 8px 24px; margin: 16px 0; }
dt { color: var(--soft); font-size: .8rem; }
dd { margin: 0; }
pre { margin: 0; padding: 12px 16px; background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  overflow-x: auto; font: .875rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: normal; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 14px 0; padding: 0;
  font-size: .875rem; }
i { display: inline-block; flex: none; width: 14px; height: 14px; margin-right: 7px; border-radius: 3px;
  vertical-align: -2px; border: 1px solid #8592a0; }
.hatch { background: repeating-linear-gradient(135deg, #969696 0 2px, #fff 2px 5px); }
.arrow { width: 22px; height: 0; border: 0; border-radius: 0; border-top: 4px solid; vertical-align: 4px; }
.sample { border-top: 1px solid var(--line); padding: 16px 0 4px; margin-top: 12px; }
.row { display: grid; gap: 12px; }
.five { grid-template-columns: repeat(5, 1fr); }
.three { grid-template-columns: repeat(3, 1fr); }
.four { grid-template-columns: repeat(4, 1fr); }
.curves { grid-template-columns: repeat(auto-fill, minmax(240px, 1fr)); }
figure { margin: 0; min-width: 0; }
figcaption { color: var(--soft); font-size: .8rem; margin-top: 3px; }
img { display: block; width: 100%; height: auto; border-radius: 4px; }
.wide { min-width: 560px; max-width: 820px; margin: 0 auto; }
.curves figcaption { text-align: center; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 10px; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child { text-align: left; font-weight: 500; }
thead th { color: var(--soft); font-size: .8rem; font-weight: 500; vertical-align: bottom; }
.bar { display: flex; align-items: center; justify-content: flex-end; gap: 10px; min-width: 7rem; }
.bar div { flex: 1; height: 9px; border-radius: 5px;
  background: linear-gradient(to right, var(--bar) var(--v), var(--chip) 0); }
.bar span { width: 2.7rem; }
.total th, .total td { font-weight: 600; }
footer { color: var(--soft); font-size: .875rem; margin-top: 20px; }
@media (max-width: 760px) {
  main { padding: 18px 12px 32px; }
  section { padding: 16px 12px; }
  .tiles { grid-template-columns: repeat(2, 1fr); }
  .tiles b { font-size: 1.3rem; }
  .five { grid-template-columns: repeat(6, 1fr); gap: 8px; }
  .five figure { grid-column: span 2; }
  .five figure:nth-child(-n + 2) { grid-column: span 3; }
  .three, .four { grid-template-columns: repeat(2, 1fr); gap: 8px; }
  table { font-size: .875rem; }
  th, td { padding: 6px 4px; }
  thead th { font-size: .75rem; white-space: normal; overflow-wrap: normal; }
  .bar { min-width: 0; }
  .bar div { display: none; }
  .bar span { width: auto; }
}
@media print { body { background: none; } section { break-inside: auto; } .sample, figure, tr { break-inside: avoid; } }
"""

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>$title</title>
<style>$style</style>
</head>
<body>
<main>
<header>
<h1>$title</h1>
<p class="sub">$subtitle</p>
<div class="tiles">$tiles</div>
<p class="note">$note</p>
<dl>$facts</dl>
<pre>$command</pre>
</header>
$content
<footer>One file, nothing is loaded from elsewhere. Written by cimnet.</footer>
</main>
</body>
</html>
""")


def page(
    title: str,
    subtitle: str,
    tiles: Sequence[tuple[str, str]],
    note: str,
    facts: Sequence[tuple[str, str]],
    command: str,
    content: str,
) -> str:
    """The whole document. ``tiles``: number and what it is; ``facts``: name and value."""
    return _PAGE.substitute(
        title=escape(title),
        subtitle=escape(subtitle),
        style=_STYLE,
        tiles="".join(f"<div><b>{escape(value)}</b><span>{escape(text)}</span></div>" for value, text in tiles),
        note=escape(note),
        facts="".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts),
        command=escape(command),
        content=content,
    )


def section(title: str, note: str, content: str) -> str:
    """A headed part of the page."""
    return f"<section><h2>{escape(title)}</h2><p>{escape(note)}</p>{content}</section>"


def figure(image: str, caption: str) -> str:
    """A picture with a caption."""
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def card(title: str, chips: Sequence[str], aside: str, layout: str, shown: Sequence[tuple[str, str]]) -> str:
    """Captioned images of one pair in a row; ``layout`` is ``five`` or ``three``, ``shown`` (caption, image)."""
    marks = "".join(f"<em>{escape(words(chip))}</em>" for chip in chips if chip)
    figures = "".join(figure(image, text) for text, image in shown)
    head = f"<h3>{escape(title)} {marks}<span>{escape(aside)}</span></h3>"
    return f'<article class="sample">{head}<div class="row {layout}">{figures}</div></article>'


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """Marks with their meaning."""
    return '<ul class="legend">' + "".join(f"<li>{mark}{escape(text)}</li>" for mark, text in entries) + "</ul>"


def table(head: Sequence[str], rows: str) -> str:
    """A table that scrolls sideways where it is wider than the page."""
    cells = "".join(f'<th scope="col">{escape(text)}</th>' for text in head)
    return f'<div class="scroll"><table><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table></div>'


def row(name: str, cells: str, mark: str = "", css: str = "") -> str:
    """A table's row of cells (HTML) under a name."""
    return f'<tr class="{css}"><th scope="row">{mark}{escape(name)}</th>{cells}</tr>'


def bar(value: float) -> str:
    """A cell with a score in 0..1, in per cent over a bar."""
    length = 0.0 if math.isnan(value) else 100 * value
    return f'<td><div class="bar"><div style="--v:{length:.1f}%"></div><span>{percent(value)}</span></div></td>'


def cell(text: str) -> str:
    """A plain cell."""
    return f"<td>{escape(text)}</td>"


def swatch(color: tuple[int, int, int]) -> str:
    """A small square of a colour."""
    return '<i style="background:rgb({},{},{})"></i>'.format(*color)


def number(value: float, form: str = ".2f") -> str:
    """A number as text, a dash for NaN."""
    return "–" if math.isnan(value) else format(value, form).replace("-", "−")


def words(name: str) -> str:
    """A flag or scene as it is read."""
    return name.replace("_", " ").replace("rgb", "RGB")
