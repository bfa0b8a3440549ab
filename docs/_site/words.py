"""How the reference pages write types, defaults and other people's text."""

from __future__ import annotations

import html
import re
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

LIMITS = {"gt": "> {}", "ge": "≥ {}", "lt": "< {}", "le": "≤ {}"}
NAMES = {bool: "true or false", int: "integer", float: "number", str: "text", Path: "path", bytes: "bytes"}


def kind_of(annotation: Any) -> str:
    """A type in words: ``integer``, ``[2 × number]``, the choices of a literal."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inside = [one for entry in arguments[1:] for one in getattr(entry, "metadata", None) or [entry]]
        return f"{kind_of(arguments[0])} {limits_of(inside)}".rstrip()
    if origin is Literal:
        return " ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(kind_of(one) for one in arguments if one is not type(None))
    if origin in (tuple, list):
        inner = [one for one in arguments if one is not Ellipsis]
        fixed = origin is tuple and Ellipsis not in arguments
        return f"[{len(inner)} × {kind_of(inner[0])}]" if fixed else f"[{kind_of(inner[0])}, …]"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "{" + ", ".join(f"`{name}`" for name in annotation.model_fields) + "}"
    return NAMES[annotation]


def limits_of(metadata: list[Any]) -> str:
    """The limits that pydantic keeps for a field: ``≥ 0 < 1``."""
    found = [
        text.format(value_of(getattr(entry, key)))
        for entry in metadata
        for key, text in LIMITS.items()
        if getattr(entry, key, None) is not None
    ]
    return " ".join(found)


def value_of(value: Any) -> str:
    """A default as one writes it into a recipe or on the command line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return "[" + ", ".join(value_of(one) for one in value) + "]"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else f"{value:g}"
    return str(value)


def plain(text: str) -> str:
    """Text that shows as it stands: marks of Markdown and HTML outside of code stand for themselves."""
    parts = re.split(r"(``?[^`]+``?)", re.sub(r"(?<!\n)\n(?!\n)", " ", text.strip()))
    return "".join(
        part if part.startswith("`") else re.sub(r"([*_\[\]{}])", r"\\\1", html.escape(part, False)) for part in parts
    )
