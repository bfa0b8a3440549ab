"""Commands about the paper: the cost of a model, the paper's tables, and what happens inside a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markdown import Markdown

from cimnet.cli.shared import (
    Checkpoint,
    Device,
    Overrides,
    Trust,
    console,
    parse_numbers,
    parse_size,
    say,
    training_progress,
)
from cimnet.errors import CimnetError, ConfigError

paper_app = typer.Typer()


@paper_app.command()
def info(
    name: Annotated[str, typer.Argument(help="Name of a model; `cimnet models` lists them.")],
    size: Annotated[str, typer.Option(help="HEIGHTxWIDTH of the images.")] = "480x640",
    classes: Annotated[int, typer.Option(min=2, help="Number of classes.")] = 9,
    depth: Annotated[int, typer.Option(min=1, help="Levels of modules in the table.")] = 1,
    freeze: Annotated[bool, typer.Option("--freeze", help="Freeze the encoders, like `model.encoder.freeze`.")] = False,
    adapter: Annotated[
        Literal["none", "bottleneck", "lora"],
        typer.Option(help="With --freeze: adapter, like `model.encoder.adapter`."),
    ] = "none",
    adapter_width: Annotated[
        int, typer.Option(min=1, help="Width of the adapter, like `model.encoder.adapter_width`.")
    ] = 16,
    measure: Annotated[
        bool, typer.Option("--measure", help="Also run the model and measure latency and peak memory.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    device: Device = None,
) -> None:
    """Print the parameters and MACs of a model, by module."""
    from cimnet.inference.settings import choose_device
    from cimnet.models import create_model
    from cimnet.models.complexity import CONVENTION, describe_trained, measure_budget, measure_run
    from cimnet.utils.tables import markdown_table

    shape = parse_size(size)
    if adapter != "none" and not freeze:
        raise ConfigError(f"--adapter {adapter}: needs --freeze; without it, all weights are trained")
    chosen = {"freeze": True, "adapter": None if adapter == "none" else adapter, "adapter_width": adapter_width}
    model = create_model(name, classes, **({"encoder_options": chosen} if freeze else {}))
    budget = measure_budget(model, shape, depth)
    content = budget.to_dict()
    if measure:
        place = choose_device(device)
        content |= {"device": str(place), **measure_run(model, shape, place)}
    if json_:
        print(json.dumps(content, indent=2))
        return
    rows = [(key, f"{p / 1e6:.3f}", f"{m / 1e9:.3f}") for key, (p, m) in budget.modules.items()]
    title = f"**{name}**, {shape[0]}×{shape[1]}"
    rows.append((title, f"**{budget.parameters / 1e6:.2f}**", f"**{budget.macs / 1e9:.2f}**"))
    console.print(Markdown(markdown_table(["module", "M parameters", "GMAC"], rows)))
    say(f"As run: {budget.macs_run / 1e9:.2f} GMAC (the decoder gives the same numbers with less arithmetic)")
    say(CONVENTION)
    say(describe_trained(model))
    if measure:
        say(f"{content['device']}: {content['latency_ms']:.0f} ms a pair, peak {content['peak_memory_mib']:.0f} MiB")


@paper_app.command()
def reproduce(
    table: Annotated[
        Literal["table2", "table3", "table4", "table5", "table6"], typer.Argument(help="Table of the paper.")
    ],
    data: Annotated[Path, typer.Option(help="Folder of the data set.")],
    budget: Annotated[
        str | None, typer.Option(help="Recipe for training: a file or a name. Default: the paper's own.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for runs and table. Default: runs/TABLE; II, IV and V share runs/table2."),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Train every row once with each of these seeds. Default: 0,1,2.")
    ] = None,
    rows: Annotated[str | None, typer.Option(help="Rows of Table III, for example 1,8. Default: all.")] = None,
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(
            help="Score this model instead of training: a path, or NAME=FILE to compare several models (FILE may hold "
            "official weights). Repeatable."
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Train this model with the recipe; `cimnet models` lists the names. Repeatable."),
    ] = None,
    set_: Overrides = None,
    split: Annotated[str, typer.Option(help="Split to score.")] = "test",
    trust: Trust = False,
) -> None:
    """Reproduce a table of the paper: train, score, and print the scores beside the paper's. Resumes if interrupted."""
    from cimnet.analysis.reproduce import reproduce as run

    folder = out or Path("runs") / ("table2" if table in ("table4", "table5") else table)
    numbers = None if seeds is None else parse_numbers(seeds, "--seeds", "0,1,2")
    if numbers is not None and len(numbers) == 1 and numbers[0] > 0:
        say(f"seed {numbers[0]} alone; three runs are --seeds 0,1,2")
    with training_progress() as report:
        text = run(
            table,
            data,
            folder,
            budget=budget,
            seeds=numbers,
            rows=None if rows is None else parse_numbers(rows, "--rows", "1,8"),
            checkpoints=checkpoint or (),
            models=model or (),
            trust=trust,
            overrides=set_ or (),
            split=split,
            report=report,
            say=say,
        )
    console.print(Markdown(text))
    say(f"table: {folder}")


@paper_app.command()
def explain(
    checkpoint: Checkpoint,
    rgb: Annotated[Path, typer.Option(help="RGB image.")],
    thermal: Annotated[Path, typer.Option(help="Thermal image; the same path as --rgb for a 4-channel file.")],
    out: Annotated[Path, typer.Option(help="Folder for explain.png and explain.html.")],
    label: Annotated[Path | None, typer.Option(help="Label image of class ids, for the error map.")] = None,
    device: Device = None,
    trust: Trust = False,
) -> None:
    """Draw what a model does with one pair: features before and after each module, offsets, weights, errors."""
    from cimnet.analysis.explain import write_explanation
    from cimnet.inference import load
    from cimnet.utils.files import require_writable

    if out.is_file():
        raise CimnetError(f"{out}: is a file; give the name of a folder")
    require_writable(out)
    page = write_explanation(load(checkpoint, device, trust=trust), rgb, thermal, out, label)
    say(f"figure: {out / 'explain.png'}\npage:   {page}")
