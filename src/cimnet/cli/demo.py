"""The command ``cimnet demo``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from cimnet.cli.shared import say, training_progress


def demo(
    out: Annotated[
        Path, typer.Option(help="Folder for data, run and report; an earlier demo in it is replaced.")
    ] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the scenes and the training.")] = 0,
    open_report: Annotated[bool, typer.Option("--open/--no-open", help="Open the report in a browser.")] = True,
) -> None:
    """Draw scenes, train a small CIMNet, evaluate, predict and write report.html.

    It takes two to five minutes on two cores, longer on old ones.
    """
    from cimnet.cli.run_demo import run_demo

    with training_progress() as report:
        page = run_demo(out, seed=seed, report=report, say=say)
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    say(f"mIoU on unseen test scenes: {100 * metrics['miou']:.1f}%\nreport: {page}", "bold")
    if open_report and sys.stdout.isatty():
        typer.launch(str(page))
