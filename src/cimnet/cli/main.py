"""The command line: one thin command per verb. A :class:`CimnetError` is printed as one line, exit code 2; a run that
a signal ended cleanly exits with 0, or with 130 after Ctrl-C."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from cimnet.cli.app import serve_page
from cimnet.cli.bag import bag
from cimnet.cli.calibrate import calibrate
from cimnet.cli.data import data_app
from cimnet.cli.data_align import align
from cimnet.cli.data_label import label_app
from cimnet.cli.demo import demo
from cimnet.cli.evaluate import evaluate
from cimnet.cli.export import export
from cimnet.cli.geo import geo
from cimnet.cli.geo_check import geo_check
from cimnet.cli.live import live
from cimnet.cli.models import import_checkpoint, list_models, models, publish
from cimnet.cli.paper import paper_app
from cimnet.cli.predict import predict
from cimnet.cli.robustness import robustness
from cimnet.cli.serve import serve
from cimnet.cli.shared import console, say, say_warnings
from cimnet.cli.train import cross_validate, runs, train
from cimnet.cli.video import video
from cimnet.errors import CimnetError, Stopped, one_line
from cimnet.utils.gdal import limit_process
from cimnet.version import __version__

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="RGB-thermal semantic segmentation.")
data_app.command()(align)
data_app.add_typer(label_app, name="label")
app.add_typer(data_app, name="data")
app.add_typer(paper_app)
app.command()(train)
app.command("cross-validate")(cross_validate)
app.command()(runs)
app.command()(calibrate)
app.command()(robustness)
app.command()(export)
app.command()(geo)
app.command("geo-check")(geo_check)
app.command()(video)
app.command()(live)
app.command()(bag)
app.command()(serve)
app.command("app")(serve_page)
app.command("eval")(evaluate)
app.command()(predict)
app.command()(publish)
app.command()(models)
app.command("import")(import_checkpoint)
app.command()(demo)
app.command("list-models", hidden=True)(list_models)


def main() -> None:
    """Entry point of the command ``cimnet``."""
    limit_process()
    try:
        with say_warnings():
            app()
    except Stopped as error:
        say(message_of(error), "yellow")
        sys.exit(130 if error.signal == signal.SIGINT else 0)
    except CimnetError as error:
        print(f"cimnet: {message_of(error)}", file=sys.stderr)
        sys.exit(2)


def message_of(error: CimnetError) -> str:
    """The error's message. For an error from a dataloader worker, which puts the traceback first, it is the last
    line."""
    text = str(error)
    if "Original Traceback" in text:
        text = text.rstrip().rsplit("\n", 1)[-1].partition(": ")[2]
    return one_line(text, None)


def _version(value: bool) -> None:
    if value:
        console.print(f"cimnet {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """RGB-thermal semantic segmentation with CIMNet: train, evaluate, predict."""
