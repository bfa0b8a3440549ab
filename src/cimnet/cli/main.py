"""The command line: one thin command per verb. A :class:`CimnetError` is printed as one line, exit code 2; a run that a
signal ended in good order exits with 0, after Ctrl-C with 130."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markdown import Markdown

from cimnet.cli.app import serve_page
from cimnet.cli.calibrate import calibrate
from cimnet.cli.data import data_app
from cimnet.cli.data_align import align
from cimnet.cli.export import export
from cimnet.cli.geo import geo
from cimnet.cli.paper import paper_app
from cimnet.cli.robustness import robustness
from cimnet.cli.serve import serve
from cimnet.cli.shared import (
    BatchSize,
    Checkpoint,
    Device,
    Flip,
    Overlap,
    Precision,
    Scales,
    Window,
    bar,
    console,
    parse_scales,
    say,
    training_progress,
)
from cimnet.cli.train import runs, train
from cimnet.cli.video import video
from cimnet.errors import CimnetError, ConfigError, Stopped
from cimnet.utils.numbers import pluralize
from cimnet.version import __version__

if TYPE_CHECKING:
    from cimnet.inference.alarms.alarm import Alarm

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="RGB-thermal semantic segmentation.")
data_app.command()(align)
app.add_typer(data_app, name="data")
app.add_typer(paper_app)
app.command()(train)
app.command()(runs)
app.command()(calibrate)
app.command()(robustness)
app.command()(export)
app.command()(geo)
app.command()(video)
app.command()(serve)
app.command("app")(serve_page)


def main() -> None:
    """Entry point of the command ``cimnet``."""
    try:
        app()
    except Stopped as error:
        say(one_line(error), "yellow")
        sys.exit(130 if error.signal == signal.SIGINT else 0)
    except CimnetError as error:
        print(f"cimnet: {one_line(error)}", file=sys.stderr)
        sys.exit(2)


def one_line(error: CimnetError) -> str:
    """The message; of an error passed on by a dataloader worker, which puts the traceback first, the last line."""
    text = str(error)
    if "Original Traceback" in text:
        text = text.rstrip().rsplit("\n", 1)[-1].partition(": ")[2]
    return " ".join(text.split())


def _version(value: bool) -> None:
    if value:
        console.print(f"cimnet {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """RGB-thermal semantic segmentation with CIMNet: train, evaluate, predict."""


@app.command("eval")
def evaluate(
    checkpoint: Checkpoint,
    dataset: Annotated[Path, typer.Argument(help="Folder of a data set.")],
    split: Annotated[str, typer.Option(help="Name of the split's list.")] = "test",
    absent: Annotated[
        Literal["ignore", "zero"], typer.Option(help="Classes absent from truth and prediction: left out, or count 0.")
    ] = "ignore",
    broken: Annotated[
        Literal["keep", "drop", "only", "rgb", "thermal"],
        typer.Option(help="Pairs whose lists say that a sensor is broken: keep, drop, only, or one sensor's."),
    ] = "keep",
    layout: Annotated[str, typer.Option(help="auto, or a name of `cimnet data list`.")] = "auto",
    json_: Annotated[Path | None, typer.Option("--json", help="Write the scores as JSON.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables as Markdown.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Write the confusion matrix as a picture.")] = None,
    flip: Flip = False,
    scales: Scales = "1",
    precision: Precision = "float32",
    device: Device = None,
) -> None:
    """Score a checkpoint on a labelled split: per class, by scene and by flag."""
    from cimnet.evaluation import evaluate as run
    from cimnet.evaluation.confusion_figure import plot_confusion
    from cimnet.inference import load
    from cimnet.utils.figures import check_figure_path, save_figure
    from cimnet.utils.files import require_writable_file, write_text

    if figure is not None:
        check_figure_path(figure)
    for path in (json_, markdown, figure):
        if path is not None:
            require_writable_file(path)
    predictor = load(checkpoint, device, flip=flip, scales=parse_scales(scales), precision=precision)
    data = predictor.open_dataset(dataset, split, layout=layout, broken=broken)
    with bar("evaluate", len(data)) as advance:
        result = run(predictor.segment, data, absent=absent, device=predictor.device, progress=advance)
    console.print(Markdown(result.to_markdown()))
    if json_ is not None:
        write_text(json_, result.to_json())
    if markdown is not None:
        write_text(markdown, result.to_markdown())
    if figure is not None:
        save_figure(plot_confusion(result), figure)


@app.command()
def predict(
    checkpoint: Checkpoint,
    out: Annotated[Path, typer.Option(help="Folder for masks/ and overlays/.")],
    rgb: Annotated[Path | None, typer.Option(help="RGB image or folder. Left out: missing.")] = None,
    thermal: Annotated[
        Path | None,
        typer.Option(help="Thermal image or folder; the same path as --rgb for 4-channel files. Left out: missing."),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(help="Instead of both: CSV with rgb,thermal[,name], or Parquet file or folder with image bytes."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files of an earlier prediction.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted prediction.")] = False,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="Predict in this process, or on a Ray cluster (extra cluster).")
    ] = "local",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Of ray. Default: one for each GPU, or for every four CPUs.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Of a Ray cluster that runs, e.g. auto. Default: one of this machine alone.")
    ] = None,
    window: Window = None,
    overlap: Overlap = 0.5,
    batch_size: BatchSize = 1,
    flip: Flip = False,
    scales: Scales = "1",
    precision: Precision = "float32",
    leave_out_broken: Annotated[
        bool, typer.Option("--leave-out-broken", help="Without a sensor that the checkpoint's alarm calls broken.")
    ] = False,
    device: Device = None,
) -> None:
    """Segment one pair, two folders of images that share names (folders inside are read too), or a list of pairs.

    What cannot be read is listed in failed.csv; then the exit code is 1.
    """
    from cimnet.inference.jobs import Files, Job, match_pairs, predict_job, read_list
    from cimnet.inference.jobs.folders import Matched

    if pairs is not None and (rgb, thermal) != (None, None):
        raise ConfigError("--pairs names both images; leave out --rgb and --thermal")
    matched = Matched([], []) if pairs is not None else match_pairs(rgb, thermal, out)
    parts = [Files(tuple(matched.pairs))] if pairs is None else read_list(pairs)
    views = {"flip": flip, "scales": parse_scales(scales), "precision": precision, "leave_out_broken": leave_out_broken}
    settings = {"window": window, "overlap": overlap, "batch_size": batch_size, **views}
    origin = {"rgb": rgb, "thermal": thermal, "pairs": pairs}
    job = Job(checkpoint, parts, out, origin, settings, device, engine, workers, address, resume, overwrite)
    total = sum(len(part.names) for part in parts)
    with bar("predict", total) as advance:
        result = predict_job(job, lambda: advance(None), _say_alarm)
    done = total - len(result.failed)
    say(f"{pluralize(done, 'mask')} in {out / 'masks'}, overlays in {out / 'overlays'}")
    if matched.unmatched:
        names = ", ".join(path.name for path in matched.unmatched[:5])
        more = f" and {len(matched.unmatched) - 5} more" if len(matched.unmatched) > 5 else ""
        say(f"{pluralize(len(matched.unmatched), 'file')} without a partner: {names}{more}", "yellow")
    if result.failed:
        say(f"{pluralize(len(result.failed), 'pair')} failed, listed in {out / 'failed.csv'}", "red")
        raise typer.Exit(1)


@app.command()
def publish(
    checkpoint: Checkpoint,
    out: Annotated[Path | None, typer.Option(help="Write weights, JSON and a model card into this new folder.")] = None,
    hub: Annotated[str | None, typer.Option(help="Upload them to this repository of the Hugging Face Hub.")] = None,
    public: Annotated[bool, typer.Option("--public", help="A new repository is open to everybody.")] = False,
) -> None:
    """Make a folder to share of a checkpoint, or push it to the Hugging Face Hub as USER/NAME."""
    from cimnet.inference import load

    if out is None and hub is None:
        raise ConfigError("give --out FOLDER, --hub USER/NAME or both")
    predictor = load(checkpoint, "cpu")
    if out is not None:
        predictor.save(out)
        say(f"written: {out}")
    if hub is not None:
        say(f"pushed: {predictor.push_to_hub(hub, private=not public)}")


def _say_alarm(name: str, alarm: Alarm) -> None:
    say(f"{name}: {'; '.join(alarm.texts.values())}", "yellow")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for data, run and report; replaced if it is a demo's.")] = Path(
        "runs/demo"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Seed of scenes and training.")] = 0,
    open_report: Annotated[bool, typer.Option("--open/--no-open", help="Open the report in a browser.")] = True,
) -> None:
    """Make scenes, train a small CIMNet, evaluate, predict, write one report.html: five minutes on two cores."""
    from cimnet.cli.demo import run_demo

    with training_progress() as report:
        page = run_demo(out, seed=seed, report=report, say=say)
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    say(f"mIoU on unseen test scenes: {100 * metrics['miou']:.1f}%\nreport: {page}", "bold")
    if open_report and sys.stdout.isatty():
        typer.launch(str(page))


@app.command("list-models")
def list_models(pattern: Annotated[str, typer.Argument(help="Shell pattern, e.g. 'cimnet_*'.")] = "*") -> None:
    """Print the names of the models."""
    from cimnet.models import list_models as names

    found = names(pattern)
    if not found:
        raise CimnetError(f"no model matches '{pattern}'; `cimnet list-models` prints all")
    print("\n".join(found))


if __name__ == "__main__":
    main()
