"""Recipe files: found by path or name, merged with the recipe they build on, changed by ``--set``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cimnet.errors import ConfigError
from cimnet.utils.files import resolved
from cimnet.utils.yaml import parse_yaml, read_yaml

Sections = dict[str, Any]


@dataclass
class RecipeFile:
    """A recipe merged with the recipes it builds on.

    Attributes:
        path: the file.
        content: nested dictionaries, section to field to value; ``base`` is no longer in it.
        origins: the file that each section and each ``section.field`` comes from.
    """

    path: Path
    content: Sections
    origins: dict[str, Path]


def shipped_recipes() -> dict[str, Path]:
    """Recipes that come with the package, by name: ``demo``, ``kust4k_resnet101`` …"""
    installed, checkout = (Path(__file__).parents[n] / "recipes" for n in (1, 3))
    return {path.stem: path for path in sorted((installed if installed.is_dir() else checkout).glob("*.yaml"))}


def read_recipe(source: str | Path) -> RecipeFile:
    """Read a recipe and the recipes it builds on: ``base`` names a recipe, and the fields written here replace the
    base's.

    Args:
        source: path of a YAML file, or the name of one that comes with the package.

    Raises:
        ConfigError: a file cannot be read, is not YAML, or holds no sections; a base is unknown or leads back to a
            recipe before it.
    """
    try:
        path = Path(source)
        path = path if path.exists() else shipped_recipes().get(str(source), path)
    except OSError as error:  # the name is too long
        raise _unreadable(source, error) from error
    merged = RecipeFile(path, {}, {})
    chain = list(_chain(path))
    for file, content in reversed(chain):
        _merge(merged, file, content)
    return merged


def _chain(path: Path) -> Iterator[tuple[Path, Sections]]:
    """A recipe, its base, the base of that …, each without ``base``."""
    seen: list[Path] = []
    file: Path | None = path
    while file is not None:
        seen.append(file)
        content = _read(file)
        base = content.pop("base", None)
        yield file, content
        file = None if base is None else _find_base(base, file)
        if file is not None and resolved(file) in [resolved(known) for known in seen]:
            circle = " → ".join(str(known) for known in [*seen, file])
            raise ConfigError(f"recipe {seen[-1]}: field 'base' leads in a circle ({circle}); take one of them out")


def _read(path: Path) -> Sections:
    try:
        content = read_yaml(path)
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    except ValueError as error:  # also of dates like 2020-99-99
        raise ConfigError(f"recipe {path}: not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"recipe {path}: must hold sections such as 'data:' and 'training:'")
    return content


def _unreadable(source: str | Path, error: Exception) -> ConfigError:
    missing = isinstance(error, FileNotFoundError | UnicodeDecodeError)
    reason = type(error).__name__ if missing else getattr(error, "strerror", "")
    return ConfigError(
        f"recipe {source}: cannot be read ({reason}); give the path of a YAML file or one of "
        f"the names {', '.join(shipped_recipes())}"
    )


def _find_base(base: Any, recipe: Path) -> Path:
    """The file that ``base`` stands for: a path from the recipe's folder, a name beside it, or one of the package.
    A recipe that names itself means the one of the package."""
    shipped = shipped_recipes()
    if not isinstance(base, str) or not base:
        raise ConfigError(f"recipe {recipe}: field 'base': give the name or path of a recipe, got {base!r:.100}")
    beside = recipe.parent / f"{base}.yaml"
    if base in shipped and resolved(beside) == resolved(recipe):
        beside = shipped[base]
    for path in (recipe.parent / base, beside, shipped.get(base, recipe.parent / base)):
        try:
            if path.is_file():
                return path
        except (OSError, ValueError):  # a name that is too long, or has a zero byte
            break
    raise ConfigError(
        f"recipe {recipe}: field 'base': there is no recipe '{base:.100}'; give a path, the name of a file in "
        f"{recipe.parent}, or one of {', '.join(shipped)}"
    )


def _merge(merged: RecipeFile, file: Path, content: Sections) -> None:
    """Lay a recipe over what it builds on: fields of a section one by one, anything else as a whole."""
    for section, values in content.items():
        before = merged.content.get(section)
        if values is None and before is not None:  # a heading with nothing below it
            continue
        merged.content[section] = (
            {**before, **values} if isinstance(values, dict) and isinstance(before, dict) else values
        )
        merged.origins[str(section)] = file
        for field in values if isinstance(values, dict) else ():
            merged.origins[f"{section}.{field}"] = file


def apply_override(content: Sections, override: str) -> None:
    """Change a recipe's content by ``section.field=value``; the value is YAML.

    Raises:
        ConfigError: it is written in another way, or its value is not valid YAML.
    """
    key, separator, value = override.partition("=")
    parts = key.strip().split(".")
    if not separator or len(parts) < 2:
        raise ConfigError(f"--set {override}: write it as section.field=value, for example training.epochs=3")
    target = content
    for part in parts[:-1]:
        if target.get(part) is None:  # absent, or a heading with nothing below it
            target[part] = {}
        target = target[part]
        if not isinstance(target, dict):
            raise ConfigError(f"--set {override}: '{part}' is not a section of the recipe")
    try:
        target[parts[-1]] = parse_yaml(value)
    except ValueError as error:
        raise ConfigError(f"--set {override}: the value is not valid YAML") from error
