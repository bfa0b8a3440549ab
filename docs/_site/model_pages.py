"""Pages of the families of models, from the registry."""

from __future__ import annotations


def model_pages() -> dict[str, str]:
    """Address to Markdown."""
    return {}
