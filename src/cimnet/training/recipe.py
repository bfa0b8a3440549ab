"""Recipes: everything that can be set for a training run. YAML files mirror these classes and those of
:mod:`cimnet.training.recipe_sections`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from cimnet.errors import ConfigError
from cimnet.training.recipe_files import apply_override, read_recipe
from cimnet.training.recipe_sections import (
    AugmentationConfig,
    DataConfig,
    LossConfig,
    ModelConfig,
    Section,
    TrainingConfig,
)


class Recipe(Section):
    """A whole training run; :func:`cimnet.load_recipe` reads one from a YAML file.

    Attributes:
        model: which model, and what it starts from.
        data: where the pairs are and how they are read. The only section that must be given.
        augmentation: random changes to training samples.
        loss: terms of the loss and their weights.
        training: optimisation, schedule, precision, and when to evaluate and save.
    """

    model: ModelConfig = ModelConfig()
    data: DataConfig
    augmentation: AugmentationConfig = AugmentationConfig()
    loss: LossConfig = LossConfig()
    training: TrainingConfig = TrainingConfig()

    def with_fields(self, section: str, **fields: Any) -> Recipe:
        """A copy with some fields of a section replaced; their values are not checked again."""
        return self.model_copy(update={section: getattr(self, section).model_copy(update=fields)})


def load_recipe(source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe, with the recipes that it builds on.

    Args:
        source: path of a YAML file, or the name of a recipe that comes with the package, such as ``scenes``.
        overrides: changes of single fields, ``section.field=value`` with a value in YAML, for example
            ``training.epochs=3``. They are applied in this order.

    Raises:
        ConfigError: a file cannot be read or is not YAML, or a field or value is not allowed; the message names file
            and field.
    """
    file = read_recipe(source)
    for override in overrides:
        apply_override(file.content, override)
        file.origins.pop(override.partition("=")[0].strip(), None)
    return parse_recipe(file.content, str(file.path), file.origins)


def parse_recipe(content: dict[str, Any], source: str, origins: Mapping[str, Path] | None = None) -> Recipe:
    """Check a recipe that is given as nested dictionaries.

    Args:
        content: sections, each a dictionary of its fields.
        source: what errors call the recipe.
        origins: for a section or a ``section.field``, the file it comes from, which errors name instead.

    Raises:
        ConfigError: a field or value is not allowed; the message names source and field.
    """
    sections = {section: value for section, value in content.items() if value is not None}  # not an empty heading
    try:
        return Recipe.model_validate(sections)
    except ValidationError as error:
        first = error.errors()[0]
        # of a field that may have one of several types, pydantic names the type, too
        field = ".".join(str(part) for part in first["loc"] if re.fullmatch("[a-z0-9_]+", str(part)))
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        source = str((origins or {}).get(".".join(map(str, first["loc"][:2])), source))
        if first["type"] == "extra_forbidden":
            raise ConfigError(
                f"recipe {source}: field '{field}' does not exist{_suggest(first['loc'])}{more}"
            ) from error
        if first["type"] == "missing":
            raise ConfigError(f"recipe {source}: field '{field}' is missing{more}") from error
        given = f"{first['msg']}, got {_shown(first['input'])}"
        raise ConfigError(f"recipe {source}: field '{field}': {given}{more}") from error


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"


def _suggest(location: tuple[int | str, ...]) -> str:
    section: type[BaseModel] = Recipe
    for part in location[:-1]:
        annotation = section.model_fields[str(part)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return ""
        section = annotation
    near = difflib.get_close_matches(str(location[-1]), section.model_fields, n=1)
    return f", did you mean '{near[0]}'?" if near else f"; allowed: {', '.join(section.model_fields)}"
