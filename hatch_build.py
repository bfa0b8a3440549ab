"""The README as a package index shows it: relative links become links to the repository that CIMNET_REPOSITORY names.

Without an address, links into the checkout become plain text and pictures are left out, because a package index would
show dead ones. The site does the same (`docs/_site`).
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

PICTURE = re.compile(r"<picture>.*?</picture>\n?", re.DOTALL)
SOURCE = re.compile(r'\b(src|srcset)="(?!https?://)([^"]+)"')
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://|mailto:|#)([^)\s]+)\)")


def readme(text: str, repository: str) -> str:
    """README's text, with absolute links, or with none into the checkout where there is no address."""

    base = repository.rstrip("/")

    def absolute(match: re.Match[str]) -> str:
        picture, words, target = match.groups()
        if not repository:
            return "" if picture else words
        return f"{picture}[{words}]({base}/{'raw' if picture else 'blob'}/main/{target})"

    text = SOURCE.sub(rf'\1="{base}/raw/main/\2"', text) if repository else PICTURE.sub("", text)
    return LINK.sub(absolute, text)


class Readme(MetadataHookInterface):
    """Fills in ``readme`` of the package's metadata."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the README."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": readme(text, os.environ.get("CIMNET_REPOSITORY", "")),
        }
