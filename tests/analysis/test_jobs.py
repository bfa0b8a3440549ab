"""The jobs of benchmarks/jobs.sh: commands that their scripts take, and that can run side by side."""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer.main

from cimnet.cli.main import app
from cimnet.training.recipe import load_recipe
from tests import ROOT

from .conftest import OpenScript

SHOW = 'job() { printf "%s\\0" "$2"; }; first() { job "$@"; }; DATA=data; source benchmarks/jobs.sh'
pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


class Parsed(Exception):
    """A script has taken its arguments."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__("")
        self.options = options


def _commands(program: str) -> list[list[str]]:
    ran = subprocess.run(["bash", "-c", SHOW], cwd=ROOT, capture_output=True, text=True, check=True)
    parts = [part for command in ran.stdout.split("\0") for part in command.split("&&")]
    words = [shlex.split(part) for part in parts]
    return [one[1:] for one in words if one and one[0] == program]


def test_scripts_take_the_arguments(monkeypatch: pytest.MonkeyPatch, open_script: OpenScript) -> None:
    parse = argparse.ArgumentParser.parse_args

    def stop(self: argparse.ArgumentParser, words: Sequence[str] | None = None, namespace: Any = None) -> None:
        raise Parsed(parse(self, words, namespace))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    places: list[Path] = []
    for script, *words in _commands("bench"):
        with pytest.raises(Parsed) as caught:
            open_script(script)["main"](words)
        places.append(caught.value.options.out)
    assert len(set(places)) == len(places) > 5  # a folder is locked while a job works in it


def test_the_commands_take_the_arguments() -> None:
    command: Any = typer.main.get_command(app)
    found = _commands("cimnet")
    assert {words[0] for words in found} == {"data", "train", "eval"}
    for words in found:
        here, left = command, list(words)
        while hasattr(here, "commands"):
            here = here.commands[left.pop(0)]
        context = here.make_context("job", left)
        if words[0] == "train":
            load_recipe(context.params["recipe"], context.params["set_"])
