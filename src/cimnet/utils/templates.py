"""HTML from the templates in a package's folder. All values are escaped."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from cimnet.utils.numbers import describe, format_number, format_percent, pluralize


@cache
def load_templates(package: str, folder: str) -> Environment:
    """The templates in a folder of a package.

    They have the filters ``describe``, ``number``, ``percent`` and ``pluralize`` of :mod:`cimnet.utils.numbers`, and
    ``rgb`` for the colour of a class in CSS. A name that a template uses and was not given is an error.
    """
    environment = Environment(
        loader=PackageLoader(package, folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "describe": describe,
        "number": format_number,
        "percent": format_percent,
        "pluralize": pluralize,
        "rgb": lambda color: "rgb({},{},{})".format(*color),
    }
    return environment
