"""Commands about data sets: draw, download, check, count, convert and split them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markdown import Markdown
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from cimnet.cli.shared import Classes, Layout, console, counter, parse_classes, parse_pairs, say
from cimnet.errors import ConfigError
from cimnet.utils.numbers import pluralize

if TYPE_CHECKING:
    from cimnet.curation.split.division import Division
    from cimnet.curation.split.folds import Folds

data_app = typer.Typer(
    no_args_is_help=True, help="Draw, download, check, convert, split, register and label data sets."
)

Root = Annotated[Path, typer.Argument(help="Folder of a data set.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes.")]


def _refuse_inputs(outputs: list[Path], root: Path, layout: str) -> None:
    """Refuse to write a report onto a file of the data set that it is about."""
    from cimnet.data.contents import files_of
    from cimnet.errors import DataError
    from cimnet.utils.files import refuse_inputs_as_outputs

    try:
        inputs = files_of(root, layout) if any(path.exists() for path in outputs) else []
    except DataError:  # the command says it, without reading an image
        return
    refuse_inputs_as_outputs(outputs, inputs)


@data_app.command()
def synth(
    out: Annotated[Path, typer.Argument(help="New folder for the data set.")],
    train: Annotated[int, typer.Option(min=0, help="Pairs for training.")] = 200,
    val: Annotated[int, typer.Option(min=0, help="Pairs for validation.")] = 40,
    test: Annotated[int, typer.Option(min=0, help="Pairs for testing.")] = 80,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same pixels everywhere.")] = 0,
    height: Annotated[int, typer.Option(min=32, help="Pixels.")] = 512,
    width: Annotated[int, typer.Option(min=32, help="Pixels.")] = 640,
    scale: Annotated[float, typer.Option(min=0.1, max=2.0, help="Pixels per native pixel of the scene.")] = 1.0,
    late: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of pairs with a large time lag between the cameras.")
    ] = 0.2,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
) -> None:
    """Write a synthetic data set in Kust4K's layout, with the true offsets."""
    from cimnet.data.synthetic import synthesize

    counts = {"train": train, "val": val, "test": test}
    with counter("synth") as progress:
        synthesize(
            out, **counts, seed=seed, size=(height, width), scale=scale, late=late, workers=workers, progress=progress
        )
    say(f"{pluralize(train + val + test, 'pair')} in {out}")


@data_app.command("list")
def list_layouts() -> None:
    """Print the known layouts with folders, classes, published sizes and licence."""
    from cimnet.data import LAYOUTS
    from cimnet.utils.tables import markdown_table

    rows = []
    for layout in LAYOUTS.values():
        info = layout.info
        classes = len(info.classes.names) if info.classes else "yours"
        sizes = ", ".join(f"{count} {split}" for split, count in info.sizes.items())
        rows.append((layout.name, info.title, layout.expects(), classes, sizes, info.licence))
    head = ["name", "data set", "folders", "classes", "pairs", "licence"]
    console.print(Markdown(markdown_table(head, rows, "lllrl")))


@data_app.command()
def download(
    name: Annotated[str, typer.Argument(help="Data set, e.g. kust4k.")],
    out: Annotated[Path, typer.Argument(help="New folder for the data set.")],
    mirror: Annotated[str | None, typer.Option(help="Address of a server folder that holds the same files.")] = None,
    keep_partial: Annotated[
        bool, typer.Option("--keep-partial", help="If the download fails, keep the parts for the next try.")
    ] = False,
) -> None:
    """Download a public data set, verify and unpack it. If this fails, nothing is left behind."""
    from cimnet.curation.download import download as fetch
    from cimnet.curation.download import licence_note

    say(licence_note(name))
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def report(file: str, done: int, total: int | None) -> None:
            if file not in tasks:
                tasks[file] = progress.add_task(file)
            progress.update(tasks[file], completed=done, total=total)

        fetch(name, out, mirror=mirror, keep_partial=keep_partial, report=report)
    say(f"{out}: complete; `cimnet data check {out}` examines it")


@data_app.command()
def check(
    root: Root,
    layout: Layout = "auto",
    classes: Classes = None,
    json_: Annotated[Path | None, typer.Option("--json", help="Write the findings as JSON.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Write a contact sheet, .jpg or .png.")] = None,
    offsets: Annotated[int, typer.Option(min=0, help="Number of pairs whose misalignment is estimated.")] = 40,
    strict: Annotated[bool, typer.Option("--strict", help="Count warnings as errors.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. Default: one per core.")] = None,
) -> None:
    """Examine every file of a data set and report everything that is wrong. The exit code is 1 if there are errors."""
    from cimnet.curation.check import check_dataset
    from cimnet.registration import pair_offset
    from cimnet.utils.files import require_writable_file, write_text

    for path in (json_, sheet):
        if path is not None:
            require_writable_file(path)
    _refuse_inputs([path for path in (json_, sheet) if path is not None], root, layout)
    with counter("check") as progress:
        report = check_dataset(
            root,
            layout=layout,
            classes=parse_classes(classes),
            estimate=pair_offset if offsets else None,
            estimate_pairs=offsets,
            workers=workers,
            progress=progress,
        )
    console.print(Markdown(report.to_markdown()))
    if json_ is not None:
        write_text(json_, report.to_json())
    if sheet is not None:
        report.contact_sheet(sheet)
    raise typer.Exit(report.exit_code(strict))


@data_app.command()
def stats(
    root: Root,
    layout: Layout = "auto",
    classes: Classes = None,
    split: Annotated[
        list[str] | None, typer.Option(help="Split. Repeatable. Default: train, val, validation, test.")
    ] = None,
    sample: Annotated[int, typer.Option(min=0, help="Number of pairs in each split whose offsets are estimated.")] = 60,
    out: Annotated[Path | None, typer.Option(help="Folder for stats.json, classes.png and offsets.png.")] = None,
    write_lists: Annotated[
        bool, typer.Option("--write-lists", help="Write lists of day, night, dark_night and weakly_aligned pairs.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing lists.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. Default: one per core.")] = None,
) -> None:
    """Count splits, light, flags, classes (the paper's Fig. 9) and misalignment (Fig. 11)."""
    from cimnet.curation.stats import dataset_stats
    from cimnet.curation.stats.stats_figures import plot_classes, plot_offsets, refuse_lists
    from cimnet.curation.stats.stats_figures import write_lists as write
    from cimnet.utils.figures import save_figure
    from cimnet.utils.files import require_writable, write_text
    from cimnet.utils.pool import cores

    if overwrite and not write_lists:
        raise ConfigError("--overwrite is for --write-lists")
    if write_lists and split:
        raise ConfigError("--write-lists needs the whole data set; leave --split out")
    if write_lists and not overwrite:
        refuse_lists(root)
    for folder in (out, root if write_lists else None):
        if folder is not None:
            require_writable(folder)
    if out is not None:
        _refuse_inputs([out / name for name in ("stats.json", "classes.png", "offsets.png")], root, layout)
    with counter("stats") as progress:
        found = dataset_stats(
            root,
            layout=layout,
            classes=parse_classes(classes),
            splits=split or (),
            sample=sample,
            workers=workers or cores(),
            progress=progress,
        )
    console.print(Markdown(found.to_markdown()))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_text(out / "stats.json", found.to_json())
        save_figure(plot_classes(found), out / "classes.png")
        if found.offsets()["pairs"]:
            save_figure(plot_offsets(found), out / "offsets.png")
        say(f"figures: {out}")
    if write_lists:
        say("lists: " + ", ".join(map(str, write(found, root, overwrite))))


@data_app.command()
def convert(
    source: Root,
    target: Annotated[Path, typer.Argument(help="New folder.")],
    to: Annotated[
        str, typer.Option(help="A layout that `cimnet data list` prints, or colors (labels as colours).")
    ] = "folder",
    layout: Layout = "auto",
    classes: Classes = None,
    map_: Annotated[
        list[str] | None, typer.Option("--map", help="source=target class, or class=ignore. Repeatable.")
    ] = None,
    thermal: Annotated[
        Literal["keep", "scale"],
        typer.Option(help="Thermal images: keep them, or scale them to 8 bits by the thermal range."),
    ] = "keep",
    range_: Annotated[
        tuple[float, float] | None, typer.Option("--range", help="Raw counts that become 0 and 255.")
    ] = None,
    force_range: Annotated[
        bool,
        typer.Option(
            "--force-range", help="Scale thermal images even if half of their values lie outside the thermal range."
        ),
    ] = False,
    split: Annotated[list[str] | None, typer.Option(help="Split, or old=new name. Repeatable. Default: all.")] = None,
    broken: Annotated[
        Literal["keep", "drop", "only", "rgb", "thermal"],
        typer.Option(
            help="Pairs that the lists call broken: keep them, drop them, write only them, or only those of one sensor."
        ),
    ] = "keep",
    workers: Workers = 1,
) -> None:
    """Write a data set in another layout, with the same pixels."""
    from cimnet.curation.convert import convert as run

    if force_range and thermal != "scale":
        raise ConfigError("--force-range is for --thermal scale")
    splits = None if split is None else {old: new or old for old, _, new in (text.partition("=") for text in split)}
    with counter("convert") as progress:
        run(
            source,
            target,
            to,
            layout=layout,
            classes=parse_classes(classes),
            class_map=parse_pairs(map_ or [], "--map"),
            thermal=thermal,
            thermal_range=range_,
            force_range=force_range,
            splits=splits,
            broken=broken,
            workers=workers,
            progress=progress,
        )
    say(f"written: {target}")


@data_app.command("split")
def split_(
    root: Root,
    part: Annotated[
        list[str] | None,
        typer.Option(
            help="name=share. Repeatable. Default: train=0.7 val=0.1 test=0.2. With --folds: the shares of train and "
            "val among the pairs that a fold does not test; default: train=0.875 val=0.125."
        ),
    ] = None,
    folds: Annotated[
        str | None,
        typer.Option(
            help="Write this many folds for `cimnet cross-validate` instead; each pair is tested in one. groups: "
            "each group is a fold."
        ),
    ] = None,
    of: Annotated[str, typer.Option(help="Split to divide; all is every pair.")] = "all",
    labelled: Annotated[bool, typer.Option("--labelled", help="Leave out pairs that have no label.")] = False,
    extend: Annotated[
        bool,
        typer.Option(
            "--extend",
            help="Keep what existing lists hold in its part, and add the other pairs. Without lists: write them.",
        ),
    ] = False,
    layout: Layout = "auto",
    classes: Classes = None,
    groups: Annotated[
        str | None,
        typer.Option(
            help="How groups that stay together are found: auto (by names), near (by similarity of frames), a CSV file "
            "with the columns name and group, or a regular expression."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same lists.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the lists, or for the folder folds. Default: the data set's.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace lists of these names, or all folds.")] = False,
) -> None:
    """Write lists of train, val and test. Sequences stay whole; scenes and classes keep their proportions."""
    from cimnet.curation.split import PARTS, split_dataset
    from cimnet.curation.split.folds import SHARES, divide_into_folds

    if extend and folds is not None:
        raise ConfigError("--extend is for lists; new folds need --overwrite")
    shares = {}
    for name, share in parse_pairs(part or [], "--part").items():
        try:
            shares[name] = float(share)
        except ValueError as error:
            raise ConfigError(f"--part {name}={share}: the share must be a number, for example {name}=0.1") from error
    with counter("split") as progress:
        options: dict[str, Any] = {
            "of": of,
            "layout": layout,
            "classes": parse_classes(classes),
            "seed": seed,
            "groups": groups,
            "overwrite": overwrite,
            "labelled": labelled,
            "out": out,
            "progress": progress,
        }
        if folds is None:
            division: Division | Folds = split_dataset(root, parts=shares or PARTS, extend=extend, **options)
        else:
            division = divide_into_folds(root, _fold_count(folds), parts=shares or SHARES, **options)
    division.write()
    console.print(Markdown(division.to_markdown()))


def _fold_count(text: str) -> int | None:
    """Number of folds; None: one for each group."""
    try:
        return None if text == "groups" else int(text)
    except ValueError as error:
        raise ConfigError(f"--folds {text}: give a number such as 5, or groups") from error
