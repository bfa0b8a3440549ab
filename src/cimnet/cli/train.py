"""Commands around training runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.markdown import Markdown
from rich.table import Table

from cimnet.cli.shared import Overrides, console, parse_numbers, say, training_progress


def train(
    recipe: Annotated[Path, typer.Argument(help="YAML recipe, or the name of one in recipes/, e.g. kust4k_resnet101.")],
    out: Annotated[Path | None, typer.Option(help="Run folder. Default: runs/NAME of the recipe.")] = None,
    set_: Overrides = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --out from its newest state, if there is one.")
    ] = False,
    changed_data: Annotated[
        bool,
        typer.Option("--changed-data", help="With --resume: continue even if pairs were added, removed or changed."),
    ] = False,
    allow_absent: Annotated[
        bool, typer.Option("--allow-absent", help="Train even if a class has no pixel in train.")
    ] = False,
    seeds: Annotated[
        str | None,
        typer.Option(
            help="Train once with each of these seeds, e.g. 0,1,2, in --out/seed0 …, and print mean and standard "
            "deviation."
        ),
    ] = None,
) -> None:
    """Train a model from a recipe and keep the one that scores best on val as best.safetensors.

    Ctrl-C and SIGTERM save the state first. For several processes, use `accelerate launch -m cimnet.cli train …` or
    torchrun.
    """
    from cimnet.training import train as run
    from cimnet.training.recipe import load_recipe
    from cimnet.training.seeds import train_seeds

    loaded = load_recipe(recipe, [*(set_ or ()), *(["data.allow_absent=true"] if allow_absent else [])])
    folder = out or Path("runs") / recipe.stem
    options: dict[str, Any] = {"resume": resume, "changed_data": changed_data, "note": lambda text: say(text, "yellow")}
    with training_progress() as report:
        if seeds is not None:
            train_seeds(loaded, folder, parse_numbers(seeds, "--seeds", "0,1,2"), **options, report=report)
        else:
            best = run(loaded, folder, **options, report=report)
    if seeds is not None:
        _print([folder], group=True)
        return
    say(f"best model: {best}\ncurves:     {folder / 'curves.png'}")


def runs(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Run folders, or folders that contain some. Default: runs.")
    ] = None,
    group: Annotated[bool, typer.Option("--group", help="Show one row for runs that differ only in the seed.")] = False,
    sort: Annotated[Literal["name", "miou", "started"], typer.Option(help="Order of the rows.")] = "name",
    compare: Annotated[
        bool,
        typer.Option(
            "--compare",
            help="For cross-validations: show by how much each one differs from the first, with a 95% interval.",
        ),
    ] = False,
    json_: Annotated[Path | None, typer.Option("--json", help="Write the runs, or the comparison, as JSON.")] = None,
) -> None:
    """List and compare training runs: state, scores, and the settings in which they differ."""
    if compare:
        _compare(folders or [], json_)
    else:
        _print(folders or [Path("runs")], group, sort, json_)


def _print(folders: list[Path], group: bool = False, sort: str = "name", json_: Path | None = None) -> None:
    from cimnet.training.runs_table import differences, find_runs, table
    from cimnet.utils.files import write_text

    found = find_runs(folders)
    if sort == "miou":
        found.sort(key=lambda run: -(run.miou or run.test or 0.0))  # a cross-validation has no score on one val
    elif sort == "started":
        found.sort(key=lambda run: run.started or "")
    header, rows = table(found, group)
    grid = Table(*header)
    for row in rows:
        grid.add_row(*row)
    console.print(grid)
    if json_ is not None:
        fields = differences(found)
        write_text(json_, json.dumps([run.to_dict(fields) for run in found], indent=2) + "\n")


def _compare(folders: list[Path], json_: Path | None) -> None:
    from cimnet.analysis.cross_validation.compare import compare_runs, comparison_table
    from cimnet.analysis.cross_validation.held_out import FILE as IMAGES
    from cimnet.training.cross_record import FILE as RECORD
    from cimnet.utils.files import refuse_inputs_as_outputs, write_text

    if json_ is not None:
        refuse_inputs_as_outputs([json_], [folder / name for folder in folders for name in (RECORD, IMAGES)])
    found = compare_runs(folders)
    console.print(Markdown(comparison_table(found)))
    if json_ is not None:
        write_text(json_, json.dumps([comparison.to_dict() for comparison in found], indent=2) + "\n")


def cross_validate(
    recipe: Annotated[Path, typer.Argument(help="YAML recipe, or the name of one in recipes/, e.g. own.")],
    data: Annotated[Path | None, typer.Option(help="Folder of the data set. Default: the recipe's.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the runs. Default: runs/RECIPE_folds.")] = None,
    folds: Annotated[
        Path | None,
        typer.Option(help="Folder that `cimnet data split --folds` wrote. Default: folds in the data set."),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(help="Train each fold once with each of these seeds, e.g. 0,1,2. Default: the recipe's."),
    ] = None,
    set_: Overrides = None,
    allow_absent: Annotated[
        bool, typer.Option("--allow-absent", help="Train even if a class has no pixel in any label.")
    ] = False,
) -> None:
    """Train on each fold of a data set and test each image once. If interrupted, run the same command to resume.

    `cimnet data split DATA --folds 5` writes the lists; `cimnet runs A B --compare` compares two models.
    """
    from cimnet.analysis.cross_validation import cross_validate as run
    from cimnet.training.recipe import load_recipe

    changes = [f"data.root={json.dumps(str(data))}"] if data is not None else []
    changes += [*(set_ or ()), *(["data.allow_absent=true"] if allow_absent else [])]
    folder = out or Path("runs") / f"{recipe.stem}_folds"
    with training_progress() as report:
        result = run(
            load_recipe(recipe, changes),
            folder,
            folds=folds,
            seeds=None if seeds is None else parse_numbers(seeds, "--seeds", "0,1,2"),
            report=report,
            note=say,
        )
    console.print(Markdown(result.to_markdown()))
    say(f"result: {folder / 'cross_validation.json'}")
