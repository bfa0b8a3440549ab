"""Reports as one HTML file each, from the templates in ``html/``; what goes into them is escaped there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from cimnet.analysis.report_figures import Picture
from cimnet.utils.templates import load_templates


class Panel(NamedTuple):
    """A picture with its caption."""

    caption: str
    image: Picture


class Card(NamedTuple):
    """Captioned pictures of one pair in a row.

    Attributes:
        chips: one-word facts about the pair; empty ones are left out.
        aside: the text at the right of the title.
    """

    title: str
    chips: Sequence[str]
    aside: str
    panels: Sequence[Panel]


def render_report(
    template: str,
    *,
    tiles: Sequence[tuple[str, str]],
    facts: Sequence[tuple[str, str]],
    command: str,
    **content: Any,
) -> str:
    """The whole document.

    Args:
        template: name of a file in ``html/`` that extends ``page.html``.
        tiles: the numbers at the top: each and what it is.
        facts: name and value.
        command: the command that gives these numbers, or where they are.
        content: other values that the template names.
    """
    page = load_templates("cimnet.analysis", "html").get_template(template)
    return page.render(tiles=tiles, facts=facts, command=command, **content)
