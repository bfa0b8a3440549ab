"""What a fault is, and where it is tried: a folder, a data set, a checkpoint, the command line."""

from __future__ import annotations

import os
import resource
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from PIL import Image
from safetensors import safe_open
from typer.testing import CliRunner

from cimnet.cli.main import app
from cimnet.data import open_dataset
from cimnet.errors import CimnetError
from tests.fakes.layouts import make_folder
from tests.faults import seeds

SECONDS = 30
MEMORY = 3 << 30
TEMPORARY = (".part", ".write-test", ".unpack", ".tmp")


class TooSlow(BaseException):
    """Not an Exception, so that nothing takes it for a damaged file."""


class Skipped(Exception):
    """A fault that cannot be made on this machine, and why."""


def needs(package: str, extra: str) -> None:
    """Of a fault that shows only where a package of an extra reads the file.

    Raises:
        Skipped: it is not installed.
    """
    if find_spec(package) is None:
        raise Skipped(f"needs the extra {extra}")


@dataclass(frozen=True)
class Fault:
    """Something that a user's files or settings have wrong, and what must come of it.

    Attributes:
        name: unique; it stands in docs/reference/faults.md.
        group: the section there.
        run: makes the fault in the bench's folder and does what a user would do. Its result in words is the outcome,
            unless it raises.
        error: class of the error; None: the result must come out right.
        says: a regular expression found in the message or the result; for errors with what is wrong, where and the
            remedy.
        keeps: whole outputs may be left behind an error.
        slow: takes more than a second or two.
    """

    name: str
    group: str
    run: Callable[[Bench], str | None]
    error: type[CimnetError] | None
    says: str
    keeps: bool = False
    slow: bool = False


@dataclass
class Outcome:
    """What came of a fault: the message or result, with paths relative to the bench."""

    error: CimnetError | None
    text: str
    left: list[str]


@dataclass
class Bench:
    """A folder of its own. What the user asks for is written into ``out``."""

    folder: Path
    stack: ExitStack = field(default_factory=ExitStack)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @cached_property
    def data(self) -> Path:
        """A sound data set: eight pairs of 32x40 pixels, 8 bit, PNG."""
        return make_folder(self.folder / "data", 8)

    @cached_property
    def checkpoint(self) -> Path:
        """A sound checkpoint for it."""
        return self.write("model.safetensors", seeds.checkpoint())

    @cached_property
    def recipe(self) -> Path:
        """A sound recipe for it."""
        assert self.data
        return self.write("recipe.yaml", seeds.recipe())

    def write(self, name: str, content: bytes | str) -> Path:
        """A file, the folders above it too."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def command(self, *arguments: object) -> str:
        """Run ``cimnet``; what it prints. Its error, where there is one, is raised."""
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        if result.exit_code == 2:
            raise AssertionError(f"not even a command: {result.output}")
        return " ".join(result.output.split())

    def read(self, **options: Any) -> str:
        """Open the data set and decode every pair."""
        data = open_dataset(self.data, options.pop("split", "train"), **options)
        data.check()
        samples = [data[number] for number in range(len(data))]
        return f"{len(samples)} pairs read: {', '.join(sample.id for sample in samples)}"

    def predict(self, rgb: object = None, thermal: object = None, *options: object) -> str:
        """Predict two files or folders, by default those of the data set; how many masks came of it, what failed."""
        rgb = self.data / "rgb" if rgb is None else rgb
        thermal = self.data / "thermal" if thermal is None else thermal
        self.command("predict", self.checkpoint, "--rgb", rgb, "--thermal", thermal, "--out", self.out, *options)
        masks = len(list((self.out / "masks").rglob("*.png")))
        failed = self.out / "failed.csv"
        return f"{masks} masks" + (f"; failed.csv: {failed.read_text().splitlines()[1]}" if failed.exists() else "")

    def train(self, *overrides: str) -> str:
        """Train by the recipe, with overrides."""
        sets = [word for override in overrides for word in ("--set", override)]
        self.command("train", self.recipe, "--out", self.out, *sets)
        with safe_open(self.out / "best.safetensors", "pt") as handle:
            return f"trained, {len(handle.keys())} weights"

    def replace(self, name: str, content: bytes | str) -> Path:
        """Put something else in the place of a file of the data set."""
        path = self.data / name
        path.unlink(missing_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path


def try_fault(fault: Fault) -> Outcome:
    """Make the fault in a new folder and see what comes of it, in bounded time and memory."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fault-", ignore_cleanup_errors=True)))
        bench = Bench(folder, stack)
        stack.callback(os.chdir, Path.cwd())
        os.chdir(folder)
        stack.enter_context(seeds.pixel_models())
        stack.enter_context(patch("cimnet.training.run_folder.save_figure", lambda figure, path: None))
        error, text = None, ""
        try:
            with _limits():
                text = fault.run(bench) or ""
        except CimnetError as raised:
            error, text = raised, str(raised)
        left = leftovers(bench, whole=error is None or fault.keeps)
    for path in (f"{folder}/", str(folder), f"/private{folder}/"):
        text = text.replace(path, "")
    return Outcome(error, text, left)


def leftovers(bench: Bench, whole: bool) -> list[str]:
    """What must not be there afterwards: temporary files, halves of files, outputs unless there may be `whole` ones."""
    left = []
    for path in bench.folder.rglob("*"):
        name = path.relative_to(bench.folder).as_posix()
        if any(mark in path.name for mark in TEMPORARY):
            left.append(f"{name}: temporary")
        elif path.is_relative_to(bench.out) and path.is_file() and path.name != ".lock":
            left += [f"{name}: output of a failure"] * (not whole)
            left += [f"{name}: half-written"] * (not _whole(path))
    return left


def _whole(path: Path) -> bool:
    try:
        if path.suffix == ".png":
            with Image.open(path) as image:
                image.load()
        elif path.suffix == ".safetensors":
            with safe_open(path, "pt") as handle:
                return bool(handle.keys())
        elif path.suffix == ".pt":
            torch.load(path, weights_only=True)
    except Exception:
        return False
    return path.stat().st_size > 0


@contextmanager
def _limits() -> Iterator[None]:
    """At most so many seconds and so much further memory."""

    def stop(*_: object) -> None:
        raise TooSlow(f"more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
