"""Commands in the text of a shell, and what the command line says of them, without running any."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin, get_type_hints

import typer
from pydantic import BaseModel

from cimnet.cli.main import app
from cimnet.training.recipe import Recipe

COMMAND = typer.main.get_command(app)
STANDS_FOR_SOMETHING = re.compile(r"…|\.\.\.|[A-Z_]{1,}(/.*)?|<.*>|.*\$.*")
"""A value that the reader replaces."""


def commands_of(text: str) -> Iterator[list[str]]:
    """The words of every ``cimnet`` command in a shell's text, without comments, pipes, redirections and variables."""
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        for words in _simple_commands(line.strip().removeprefix("$ ")):
            while words and re.fullmatch(r"[A-Z_][A-Z0-9_]*=.*|nohup|time|exec", words[0]):
                words = words[1:]
            if words and (words[0] == "cimnet" or words[0].endswith("/cimnet")):
                yield words[1:]
            elif "cimnet.cli" in words and words[words.index("cimnet.cli") - 1] == "-m":
                yield words[words.index("cimnet.cli") + 1 :]


def _simple_commands(line: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&<>")
    lexer.whitespace_split = True
    words: list[str] = []
    try:
        tokens = list(lexer)
    except ValueError:  # a quotation mark that stays open: not a command
        return
    skip = False
    for token in tokens:
        if skip:
            skip = False
        elif re.fullmatch(r"[|;&]+", token):
            yield words
            words = []
        elif re.fullmatch(r"[<>&|]+", token):
            skip = True
        else:
            words.append(token)
    yield words


def fault_of(words: list[str], whole: bool = True) -> str | None:
    """What the command line would refuse: an unknown command or option, a value that is no choice, a word too much or
    too few. None: nothing. Whether files are there is not asked.

    Args:
        whole: False where the words may be a part of a command, as inside of a sentence.
    """
    command: Any = COMMAND
    words = [word[:-1] if word.endswith("]") and "[" not in word else word.removeprefix("[-") for word in words]
    path = "cimnet"
    while getattr(command, "commands", None) is not None:
        if not words or words[0].startswith("-") or STANDS_FOR_SOMETHING.fullmatch(words[0]):
            return None if set(words) <= {"--help", "--version"} or not whole else f"{path}: {words} names no command"
        if words[0] not in command.commands:
            return f"{path}: no command '{words[0]}'"
        path, command, words = f"{path} {words[0]}", command.commands[words[0]], words[1:]
    if words == ["--help"]:
        return None
    elided = not whole or any(word in ("…", "...") for word in words)
    try:
        given, rest, _ = command.make_parser(command.context_class(command)).parse_args(args=list(words))
    except Exception as error:  # the parser's own, whose class depends on typer's version
        unfinished = not whole and "requires an argument" in str(error)
        return None if unfinished else f"{path}: {error}"
    if rest and not elided:
        return f"{path}: unexpected {rest}"
    missing = [p.name for p in command.params if p.required and given.get(p.name) is None]
    if missing and not elided:
        return f"{path}: without {missing}"
    return _wrong_value(path, command, given)


def _wrong_value(path: str, command: Any, given: dict[str, Any]) -> str | None:
    hints = get_type_hints(inspect.unwrap(command.callback))
    for name, value in given.items():
        for one in value if isinstance(value, list | tuple) else [value]:
            if not isinstance(one, str) or STANDS_FOR_SOMETHING.fullmatch(one):
                continue
            if name == "set_" or (name == "overrides" and "=" in one):
                field = one.partition("=")[0]
                if not _is_field(field.split(".")):
                    return f"{path}: a recipe has no field '{field}'"
            elif not _fits(one, hints.get(name, str)):
                return f"{path}: '{one}' is no value of {name}"
    return None


def _is_field(names: list[str]) -> bool:
    model: Any = Recipe
    for name in names:
        if not (isinstance(model, type) and issubclass(model, BaseModel) and name in model.model_fields):
            return False
        model = model.model_fields[name].annotation
    return True


def _fits(value: str, kind: Any) -> bool:
    """Whether a word is a value of a type. Types whose values are files or free text take every word."""
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    kinds = get_args(kind) or (kind,)
    for number in (int, float):
        if number in kinds and str not in kinds:
            return re.fullmatch(r"-?\d+" if number is int else r"-?[\d.]+(e-?\d+)?", value) is not None
    choices = [one for one in kinds if get_origin(one) is Literal]
    return value in get_args(choices[0]) if choices else True
