"""What the extra ``cluster`` brings, or an error that names it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from cimnet.errors import ConfigError


def require(module: str, what: str) -> Any:
    """Import a module of the extra.

    Raises:
        ConfigError: it is not installed; ``what`` says what for.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(f'{what} needs the extra cluster: pip install "cimnet[cluster]"') from error
