"""The page of all fields of a recipe, from the classes that check recipes."""

from __future__ import annotations

import inspect
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from words import kind_of, limits_of, plain, value_of

from cimnet.models.cimnetx import CIMNetX
from cimnet.models.registry import LIGHT
from cimnet.models.zoo.cmx import CMX
from cimnet.models.zoo.eaefnet import EAEFNet
from cimnet.training.recipe import Recipe
from cimnet.utils.tables import markdown_table

INTRO = """# Recipe

This page lists all fields of a recipe with their defaults. A field that does not exist, or a value that is not
allowed, is refused with the names of the file and the field. `cimnet train RECIPE --set section.field=value` changes
one field, and [recipes can build on others](../guides/training.md#recipes-that-build-on-others).
"""
OF_THE_MODEL = (*CIMNetX.__mro__[1:], CMX, EAEFNet, CIMNetX)
"""Classes whose arguments are the options of `model`; the first one that has an argument gives the default."""
MODEL_NOTE = """The defaults are those of `cimnet_*`, or of the network that the text names. With `mit_b0` and
`efficientnet_lite0`, models are narrower: `widths` is {widths} and `decoder_channels` is {decoder_channels}.
`cimnetx_*` sets `explicit_alignment` and `decode_alone` to true and `exchange_dropout` to 1.
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
            rows.append(_row(name, field, of_the_model(name) if path == "model" else None))
    if not path:
        return inside
    table = markdown_table(["field", "value", "default", ""], rows, "l")
    note = MODEL_NOTE.format(**{key: value_of(value) for key, value in LIGHT.items()}) if path == "model" else ""
    return [f"\n## {path}\n\n{plain(_first_sentence(model))}\n\n{note}\n{table}", *inside]


def of_the_model(name: str) -> Any:
    """The default of an option of `model`, from the model's class; None if there is none."""
    for owner in OF_THE_MODEL:
        parameter = inspect.signature(owner.__init__).parameters.get(name)
        if parameter and parameter.default is not inspect.Parameter.empty:
            return parameter.default
    return None


def _first_sentence(model: type[BaseModel]) -> str:
    """What a section is for, without references to classes."""
    return " ".join((model.__doc__ or "").split()).partition(", see :")[0].rstrip(".") + "."


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _row(name: str, field: FieldInfo, otherwise: Any = None) -> list[str]:
    value = None if field.is_required() else field.get_default(call_default_factory=True)
    value = otherwise if value is None else value
    default = "**required**" if field.is_required() else "" if value is None else f"`{value_of(value)}`"
    kind = f"{kind_of(field.annotation)} {limits_of(field.metadata)}".rstrip()
    return [f"`{name}`", kind, default, plain(field.description or "")]
