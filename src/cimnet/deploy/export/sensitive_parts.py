"""Parts of a model that keep float32 in a file of fewer bits."""

from __future__ import annotations

from typing import Any

SENSITIVE = "alignment", "offset", "modulation", "classify", "reliability"
"""Positions, and the last layers."""


def is_sensitive(node: Any, parts: tuple[str, ...] = SENSITIVE) -> bool:
    """Whether a node (``onnx.NodeProto``) came from one of the parts: its name begins with its module's."""
    return any(f"/{part}" in node.name or f".{part}" in node.name for part in parts)
