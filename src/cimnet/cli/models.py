"""The commands ``cimnet models``, ``cimnet import`` and ``cimnet publish``."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.markdown import Markdown

from cimnet.cli.shared import Checkpoint, Trust, console, say
from cimnet.errors import CimnetError, ConfigError


def publish(
    checkpoint: Checkpoint,
    out: Annotated[Path | None, typer.Option(help="Write weights, JSON and a model card into this new folder.")] = None,
    hub: Annotated[str | None, typer.Option(help="Upload them to this repository of the Hugging Face Hub.")] = None,
    public: Annotated[bool, typer.Option("--public", help="Make a new repository public.")] = False,
    small: Annotated[
        bool, typer.Option("--small", help="Store matrices in 8 bits: a quarter of the size; masks change a little.")
    ] = False,
    trust: Trust = False,
) -> None:
    """Turn a checkpoint into a folder to share, or upload it to the Hugging Face Hub as USER/NAME."""
    from cimnet.inference import load

    if out is None and hub is None:
        raise ConfigError("give --out FOLDER, --hub USER/NAME or both")
    predictor = load(checkpoint, "cpu", trust=trust)
    if out is not None:
        predictor.save(out, small)
        say(f"written: {out}")
    if hub is not None:
        say(f"pushed: {predictor.push_to_hub(hub, private=not public, small=small)}")


def import_checkpoint(
    name: Annotated[str, typer.Argument(help="Published network, see `cimnet models`.")],
    file: Annotated[Path, typer.Argument(help="Checkpoint of the network's original code.")],
    classes: Annotated[
        str, typer.Option(help="Built-in class list (e.g. mfnet), names with commas, or a classes.yaml.")
    ],
    out: Annotated[Path, typer.Option(help="File to write: .safetensors.")],
    channel_order: Annotated[
        Literal["rgb", "bgr"] | None,
        typer.Option(help="Order of colours that the weights expect. Default: the order of the official weights."),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Option of the network where its authors' evaluation and training differ, e.g. head_eps=1e-3. "
            "Repeatable.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out.")] = False,
) -> None:
    """Turn a checkpoint of a published network's original code into one of this package."""
    from cimnet.data.dataset_file import classes_of
    from cimnet.weights.official import import_official

    options = dict(map(_read_option, option or []))
    model = import_official(name, file, classes_of(classes), out, channel_order, overwrite, options)
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    say(f"written: {out} ({name}, {parameters:.1f} M parameters)")


def _read_option(given: str) -> tuple[str, Any]:
    """The key and the value of ``KEY=VALUE``. The value is YAML, or a number such as 1e-3, which is none in YAML."""
    from cimnet.utils.yaml import parse_yaml

    key, separator, text = given.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"--option {given}: write it as KEY=VALUE, for example head_eps=1e-3")
    try:
        value = parse_yaml(text)
    except ValueError as error:
        raise ConfigError(f"--option {given}: the value is not valid YAML") from error
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)
    return key.strip(), value


def models(
    pattern: Annotated[
        str | None, typer.Argument(help="Shell pattern, e.g. 'cimnet_*'. Default: the published networks.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the models with parameters, MACs for a pair of 480×640, published mIoU, paper, licence and weights."""
    from cimnet.analysis.model_list import costs_and_scores, entries, origins, to_json
    from cimnet.models.registry import ENCODERS, list_families

    found = entries(pattern)
    if not found:
        raise CimnetError(f"no model matches '{pattern}'; `cimnet models '*'` lists all")
    if json_:
        print(to_json(found))
        return
    console.print(Markdown(costs_and_scores(found)))
    for name, paper, licence, colors, weights in origins(found):
        say(f"{name}: {paper}; code: {licence}; colours: {colors}; official weights: {weights}")
    if pattern is None:
        say(
            f"More names: FAMILY_ENCODER with FAMILY {', '.join(list_families())} and ENCODER {', '.join(ENCODERS)} or "
            "another of timm. `cimnet models '*'` lists all, `cimnet info NAME` shows one."
        )


def list_models(pattern: Annotated[str, typer.Argument(help="Shell pattern, e.g. 'cimnet_*'.")] = "*") -> None:
    """Print the names of the models, one per line."""
    from cimnet.models import list_models as names

    found = names(pattern)
    if not found:
        raise CimnetError(f"no model matches '{pattern}'; `cimnet models '*'` lists all")
    print("\n".join(found))
