"""The page of all commands, from the command line itself: what each one does, its arguments and options."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import typer
from words import kind_of, plain, value_of

from cimnet.cli.main import app
from cimnet.utils.tables import markdown_table

INTRO = """# Command line

`--help` of a command shows the same text. Errors are reported in one line on standard error, and the exit code is 2.
"""


def commands(command: Any = None, path: str = "cimnet") -> Iterator[tuple[str, Any]]:
    """The path (``cimnet data check``) and the command, of every command that is not hidden."""
    command = command or typer.main.get_command(app)
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name, one in sorted(inner.items()):
        if not one.hidden:
            yield from commands(one, f"{path} {name}")


def cli_page() -> str:
    """The page in Markdown."""
    return INTRO + "".join(_section(path, command) for path, command in commands())


def _section(path: str, command: Any) -> str:
    hints = get_type_hints(inspect.unwrap(command.callback), include_extras=True)
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    usage = " ".join([path, *(p.name.upper() if p.required else f"[{p.name.upper()}]" for p in arguments)])
    lines = [f"\n## {path}\n", plain(command.help or ""), f"\n```text\n{usage}{' [OPTIONS]' if options else ''}\n```\n"]
    if arguments:
        rows = [[f"`{p.name.upper()}`", _kind(p, hints), plain(p.help or "")] for p in arguments]
        lines.append(markdown_table(["argument", "value", ""], rows, "l"))
    if options:
        rows = [[_names(p), _kind(p, hints), _default(p), plain(p.help or "")] for p in options]
        lines.append(markdown_table(["option", "value", "default", ""], rows, "l"))
    return "\n".join(lines)


def _names(parameter: Any) -> str:
    return ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])


def _kind(parameter: Any, hints: dict[str, Any]) -> str:
    """What a parameter takes: its choices, or the kind of value with its limits. A switch takes nothing."""
    if getattr(parameter, "is_flag", False):
        return ""
    kind, info = get_args(hints[parameter.name])
    words = [kind_of(kind)]
    words += [f"{sign} {limit:g}" for sign, limit in (("≥", info.min), ("≤", info.max)) if limit is not None]
    return " ".join(words)


def _default(parameter: Any) -> str:
    if parameter.required:
        return "**required**"
    value = parameter.default
    if parameter.is_flag and parameter.secondary_opts:
        return f"`{(parameter.opts if value else parameter.secondary_opts)[0]}`"
    without = value in (None, (), []) or parameter.is_flag or callable(value)
    return "" if without else f"`{value_of(value)}`"
