"""How the page looks: fonts of the visitor's system, nothing from other hosts."""

from __future__ import annotations

import gradio as gr

_FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
_MONO = ("ui-monospace", "Menlo", "Consolas", "monospace")

CSS = """
.gradio-container { max-width: 1240px !important; margin: 0 auto !important; }
.cim-head { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 14px; padding: 2px 0; }
.cim-head h1 { font-size: 1.5rem; font-weight: 700; letter-spacing: -.01em; margin: 0; }
.cim-head p { margin: 0; color: var(--body-text-color-subdued); overflow-wrap: anywhere; }
.cim-note { padding: 7px 11px; border-radius: 8px; border-left: 3px solid var(--border-color-primary);
  background: var(--background-fill-secondary); font-size: .88rem; line-height: 1.4; overflow-wrap: anywhere; }
.cim-good { border-left-color: #1a9e6a; }
.cim-warn { border-left-color: #e69f00; }
.cim-error { border-left-color: #d1342f; background: color-mix(in srgb, #d1342f 12%, var(--background-fill-primary)); }
.cim-legend { list-style: none; margin: 0; padding: 2px; display: grid; gap: 4px 22px;
  grid-template-columns: repeat(auto-fill, minmax(260px, 1fr)); }
.cim-legend li { display: grid; grid-template-columns: 14px 7.6em 1fr 4.2em; align-items: center; gap: 8px;
  margin: 0; font-size: .88rem; }
.cim-legend i { width: 14px; height: 14px; border-radius: 4px; border: 1px solid var(--border-color-primary); }
.cim-legend em { height: 6px; border-radius: 3px; background: var(--border-color-primary); overflow: hidden; }
.cim-legend em b { display: block; height: 100%; min-width: 1px; }
.cim-legend data { text-align: right; font-variant-numeric: tabular-nums; }
.cim-chips { display: flex; flex-wrap: wrap; gap: 6px; margin-top: 7px; }
.cim-chip { font-size: .8rem; padding: 2px 10px; border-radius: 99px; border: 1px solid var(--border-color-primary);
  color: var(--body-text-color-subdued); }
.cim-chip b { color: var(--body-text-color); }
.cim-raised { border-color: #e69f00; background: color-mix(in srgb, #e69f00 20%, transparent);
  color: var(--body-text-color); }
.cim-title { font-size: .9rem; font-weight: 600; margin: 6px 2px 0; }
.cim-html .html-container { padding: 0 !important; }
.cim-picture .image-container > button, .cim-picture .image-frame { width: 100%; }
.cim-picture .image-frame img { width: 100%; height: auto; max-height: 62vh; object-fit: contain; }
#rgb .wrap, #thermal .wrap { min-height: 0; padding: 26px 4px 4px; font-size: .85rem; line-height: 1.35; }
#rgb .icon-wrap, #thermal .icon-wrap { display: none; }
@media (max-width: 800px) { #cim-controls { order: 2; } #cim-results { order: 1; } .cim-head p { font-size: .9rem; } }
"""


def theme() -> gr.themes.Base:
    """Quiet greys, one blue."""
    return gr.themes.Base(
        primary_hue="blue",
        neutral_hue="slate",
        radius_size="md",
        spacing_size="sm",
        font=[gr.themes.Font(name) for name in _FONT],
        font_mono=[gr.themes.Font(name) for name in _MONO],
    )
