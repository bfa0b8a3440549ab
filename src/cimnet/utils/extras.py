"""Packages that come only with an extra of the installation."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from cimnet.errors import ConfigError, DataError, one_line


class MissingExtra(ConfigError, DataError):
    """A package of an extra is not installed. It counts as a file that cannot be read, too: where files are examined
    one by one, one of a kind that needs an extra is reported beside the others."""


def require(module: str, extra: str, what: str) -> Any:
    """Import a module that an extra brings.

    Args:
        module: its name, e.g. "rasterio".
        extra: of pyproject.toml, e.g. "geo"; several with commas between.
        what: needs it: a file, an option or a thing that the user does.

    Raises:
        MissingExtra: it cannot be imported; the message says how to install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        reason = one_line(error)
        raise MissingExtra(f"{what}: the extra {extra} is missing ({reason}); {install(extra)}") from error


def install(extra: str) -> str:
    """The command that installs an extra."""
    return f'pip install "cimnet[{extra}]"'
