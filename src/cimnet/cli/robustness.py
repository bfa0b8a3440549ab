"""The command ``cimnet robustness``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markdown import Markdown

from cimnet.cli.shared import Checkpoint, Device, Layout, Trust, console, counter, say, warn_of_trained_pairs


def robustness(
    checkpoint: Checkpoint,
    dataset: Annotated[Path, typer.Argument(help="Folder of a data set.")],
    preset: Annotated[
        Literal["full", "quick", "misalignment", "failure", "table4", "table5"] | None,
        typer.Option(help="What to measure. Default: quick, or only what --corruption names."),
    ] = None,
    corruption: Annotated[
        list[str] | None,
        typer.Option(help="fog (severities 1 to 5) or translation=0,5,10 (levels in its unit). Repeatable."),
    ] = None,
    split: Annotated[str, typer.Option(help="Name of the split's list.")] = "test",
    out: Annotated[Path, typer.Option(help="Folder for results. An interrupted measurement in it is resumed.")] = Path(
        "runs/robustness"
    ),
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    batch_size: Annotated[int, typer.Option(min=1, help="Pairs in one pass of the model.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the corruptions.")] = 0,
    broken: Annotated[
        Literal["drop", "keep"], typer.Option(help="Pairs that the lists call broken: drop or keep them.")
    ] = "drop",
    moving: Annotated[
        str | None, typer.Option(help="Classes whose objects move, e.g. car,truck. Default: chosen by name.")
    ] = None,
    layout: Layout = "auto",
    device: Device = None,
    trust: Trust = False,
    open_report: Annotated[bool, typer.Option("--open/--no-open", help="Open the report in a browser.")] = False,
) -> None:
    """Score a checkpoint on corrupted pairs: misaligned, dark, noisy, one sensor missing. Resumes if interrupted."""
    from cimnet.analysis.robustness import measure_robustness, parse_corruption
    from cimnet.analysis.robustness import preset as conditions_of
    from cimnet.inference import load
    from cimnet.weights.locate import locate

    asked = [condition for text in corruption or () for condition in parse_corruption(text)]
    source = locate(checkpoint)
    predictor = load(source, device, trust=trust)
    data = predictor.open_dataset(dataset, split, layout=layout)
    warn_of_trained_pairs(source, data)
    if preset is not None or not asked:
        asked = [*conditions_of(preset or "quick", data), *asked]
    with counter("robustness") as progress:
        report = measure_robustness(
            checkpoint,
            data,
            out,
            conditions=asked,
            seed=seed,
            device=device,
            workers=workers,
            batch_size=batch_size,
            moving=None if moving is None else [name.strip() for name in moving.split(",") if name.strip()],
            broken=broken,
            trust=trust,
            progress=progress,
            opened=predictor,
        )
    console.print(Markdown(report.to_markdown(brief=True)))
    say(f"report: {out / 'robustness.html'}")
    if open_report and sys.stdout.isatty():
        typer.launch(str(out / "robustness.html"))
