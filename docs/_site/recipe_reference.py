"""The page of all fields of a recipe, from the classes that check recipes."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from words import kind_of, limits_of, plain, value_of

from cimnet.training.recipe import Recipe
from cimnet.utils.tables import markdown_table

INTRO = """# Recipe

All fields of a recipe, with their defaults. A field that does not exist, or a value that is not allowed, is refused
with the names of the file and the field. `cimnet train RECIPE --set section.field=value` changes one field, and
[recipes can build on others](../guides/training.md#recipes-that-build-on-others).
"""


def recipe_page() -> str:
    """The page in Markdown: a section for each section of a recipe, and one for each section inside it."""
    return INTRO + "".join(_sections(Recipe, ""))


def _sections(model: type[BaseModel], path: str) -> list[str]:
    """The fields of a section as a table, then the sections inside it."""
    rows: list[list[str]] = []
    inside: list[str] = []
    for name, field in model.model_fields.items():
        if _is_section(field.annotation):
            inside += _sections(field.annotation, f"{path}.{name}" if path else name)
        else:
            rows.append(_row(name, field))
    if not path:
        return inside
    table = markdown_table(["field", "value", "default", ""], rows, "l")
    return [f"\n## {path}\n\n{plain(_first_sentence(model))}\n\n{table}", *inside]


def _first_sentence(model: type[BaseModel]) -> str:
    """What a section is for, without references to classes."""
    return " ".join((model.__doc__ or "").split()).partition(", see :")[0].rstrip(".") + "."


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _row(name: str, field: FieldInfo) -> list[str]:
    value = None if field.is_required() else field.get_default(call_default_factory=True)
    default = "**required**" if field.is_required() else "" if value is None else f"`{value_of(value)}`"
    kind = f"{kind_of(field.annotation)} {limits_of(field.metadata)}".rstrip()
    return [f"`{name}`", kind, default, plain(field.description or "")]
