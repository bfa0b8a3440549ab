"""Options that the commands share, and how they print."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cimnet.errors import CimnetError, ConfigError, DataWarning

if TYPE_CHECKING:
    from cimnet.data import RGBTDataset

console = Console()

Checkpoint = Annotated[
    Path,
    typer.Argument(
        help="Run folder, .safetensors, exported file, USER/NAME on the Hub, or starter (comes with cimnet)."
    ),
]
Trust = Annotated[
    bool, typer.Option("--trust", help="Open a .pt2 file. It can run code, so trust only files that you made yourself.")
]
AllowHost = Annotated[
    list[str] | None,
    typer.Option(help="Further name under which browsers may reach the server; * for any name. Repeatable."),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 … Default: CUDA if available.")]
Layout = Annotated[str, typer.Option(help="auto, or a layout that `cimnet data list` prints.")]
Classes = Annotated[str | None, typer.Option(help="Built-in class list, or names with commas, if the folder has none.")]
ProgressLines = Annotated[
    bool, typer.Option("--progress-lines", hidden=True, help="Print progress in lines that a program can read.")
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="Override a field of the recipe, e.g. training.epochs=3. Repeatable.")
]
Window = Annotated[
    int | None,
    typer.Option(help="Side of the windows into which large images are cut, px. Default: 640 beyond 1.3 megapixels."),
]
Overlap = Annotated[float, typer.Option(help="Overlap of neighbouring windows, as a share of their side, 0 to 0.75.")]
BatchSize = Annotated[int, typer.Option(help="Images or windows in one pass.")]
Flip = Annotated[bool, typer.Option("--flip", help="Also predict the mirrored image, and average the probabilities.")]
Scales = Annotated[
    str, typer.Option(help="Predict each image at these sizes, e.g. 0.75,1,1.25, and average the probabilities.")
]
Precision = Annotated[
    Literal["float32", "bfloat16", "float16"], typer.Option(help="bfloat16 or float16: autocast, for speed.")
]
ClassMap = Annotated[
    list[str] | None,
    typer.Option("--map", help="Class in the box file=class of the data set, or =ignore. Repeatable."),
]
Calibration = Annotated[
    Path | None,
    typer.Option(help="Registration of the cameras: output of `cimnet data align --json`, or a calibration."),
]
_PART = "part of each frame: left, right, top, bottom or X,Y,WIDTH,HEIGHT."
RGBCrop = Annotated[str | None, typer.Option(help=f"RGB {_PART}")]
ThermalCrop = Annotated[str | None, typer.Option(help=f"Thermal {_PART}")]
ForceRange = Annotated[
    bool,
    typer.Option(
        "--force-range", help="Accept thermal images even if half of their values lie outside the training range."
    ),
]
RGBBands = Annotated[
    str | None,
    typer.Option(
        help="Red, green and blue bands, counted from 1, e.g. 3,2,1 (extra geo). Default: as the file says. embedded: "
        "the visible picture inside FLIR JPEGs (extra thermal)."
    ),
]
ThermalBandOption = Annotated[
    str | None,
    typer.Option(
        "--thermal-band",
        help="Thermal band, counted from 1 (extra geo); for a second image of several channels, all its bands, e.g. "
        "4,5. picture: the 8-bit picture of a radiometric JPEG.",
    ),
]
RGBRange = Annotated[
    str | None, typer.Option(help="Values of deep colours that become 0 and 255, e.g. 0,4095 (extra geo).")
]


def parse_scales(text: str) -> tuple[float, ...]:
    """Parse numbers separated by commas.

    Raises:
        ConfigError: a part is not a number.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--scales {text}: expected numbers with commas between, e.g. 0.75,1,1.25") from error


def parse_numbers(text: str, option: str, example: str) -> list[int]:
    """Parse whole numbers separated by commas.

    Raises:
        ConfigError: naming the option.
    """
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"{option} {text}: expected whole numbers with commas between, e.g. {example}") from error


def parse_size(text: str) -> tuple[int, int]:
    """Height and width from HEIGHTxWIDTH.

    Raises:
        ConfigError: if it is not written so.
    """
    matched = re.fullmatch(r"([1-9]\d*)[x×]([1-9]\d*)", text)
    if not matched:
        raise ConfigError(f"--size {text}: write it as HEIGHTxWIDTH, for example 480x640")
    return int(matched[1]), int(matched[2])


def parse_classes(given: str | None) -> str | list[str] | None:
    """Turn the option `Classes` into what data sets take: the name of a built-in list, or names."""
    return [name.strip() for name in given.split(",")] if given and "," in given else given


def parse_pairs(given: list[str], option: str) -> dict[str, str]:
    """name=value options as a mapping.

    Raises:
        ConfigError: naming what has another form.
    """
    found = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign or not name or not value:
            raise ConfigError(f"{option} {text}: write it as name=value")
        found[name.strip()] = value.strip()
    return found


def say(text: str, style: str = "") -> None:
    """Print names and paths as they are: no markup, no line breaks inside."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def warn_of_trained_pairs(source: Path, dataset: RGBTDataset) -> None:
    """Warn if a score is also one of pairs that the model was trained on, as far as its run folder tells.

    Args:
        source: local file or run folder of the model.
    """
    from cimnet.checkpoint import checkpoint_file
    from cimnet.training.data_record import describe_trained

    try:
        known = describe_trained(checkpoint_file(source).parent, dataset)
    except CimnetError as error:  # a record that cannot be read does not keep anybody from a score
        say(f"warning: {error}", "yellow")
        return
    if known:
        say(f"warning: --split {known}", "yellow")


@contextmanager
def say_warnings(most: int = 8) -> Iterator[None]:
    """Print each `DataWarning` as one yellow line, and how many there were beyond the first ones."""
    count = 0

    def show(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
    ) -> None:
        nonlocal count
        if not issubclass(category, DataWarning):
            before(message, category, filename, lineno, file, line)
            return
        count += 1
        if count <= most:
            say(" ".join(str(message).split()), "yellow")

    with warnings.catch_warnings():
        before, warnings.showwarning = warnings.showwarning, show
        try:
            yield
        finally:
            if count > most:
                say(f"and {count - most} more warnings like these", "yellow")


class bar:
    """A progress bar for a known number of items; yields a function that advances by one."""

    def __init__(self, text: str, total: int) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.progress = Progress(*columns, console=console, transient=True)
        self.task = self.progress.add_task(text, total=total)

    def __enter__(self) -> Any:
        self.progress.start()
        return lambda _: self.progress.advance(self.task)

    def __exit__(self, *_: object) -> None:
        self.progress.stop()


class counter:
    """A progress bar whose total comes with the first call: yields `report(done, total)`. With `lines`, it prints
    ``progress DONE TOTAL`` in place of a bar, for programs."""

    def __init__(self, text: str, lines: bool = False) -> None:
        self.lines = lines
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.progress = Progress(*columns, console=console, transient=True, disable=lines)
        self.task = self.progress.add_task(text, total=None)

    def __enter__(self) -> Any:
        self.progress.start()
        return self.report

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def report(self, done: int, total: int) -> None:
        """Report how many of how many are done."""
        if self.lines:
            print(f"progress {done} {total}", flush=True)
        self.progress.update(self.task, completed=done, total=total)


class training_progress:
    """A progress bar of optimiser steps with loss, L_mi, λ and learning rate, from the first step on; one line for each
    evaluated epoch. With several processes, only the first one prints."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.quiet = os.environ.get("RANK", "0") != "0"
        self.progress = Progress(*columns, console=console, disable=self.quiet)
        self.task = self.progress.add_task("train", total=None, start=False)

    def __enter__(self) -> Any:
        return self.report

    def __exit__(self, *_: object) -> None:
        if self.progress.live.is_started:  # else nothing was trained: no bar, no empty line
            self.progress.stop()

    def report(self, row: dict[str, float]) -> None:
        """One step or one evaluation, see :func:`cimnet.training.train`."""
        text = f"epoch {row['epoch']:.0f} loss {row['loss']:.3f} L_mi {row['mutual_information']:.3f} "
        text += f"λ {row['lambda']:.3f} lr {row['rate']:.1e}"
        self.progress.start()
        self.progress.start_task(self.task)
        self.progress.update(self.task, description=text, completed=row["step"], total=row["steps"])
        if "miou" in row and not self.quiet:
            say(f"{text}  val mIoU {100 * row['miou']:.1f}%  {row['seconds']:.0f} s")
