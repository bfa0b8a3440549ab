"""The commands ``cimnet list-models`` and ``cimnet publish``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cimnet.cli.shared import Checkpoint, Trust, say
from cimnet.errors import CimnetError, ConfigError


def publish(
    checkpoint: Checkpoint,
    out: Annotated[Path | None, typer.Option(help="Write weights, JSON and a model card into this new folder.")] = None,
    hub: Annotated[str | None, typer.Option(help="Upload them to this repository of the Hugging Face Hub.")] = None,
    public: Annotated[bool, typer.Option("--public", help="A new repository is open to everybody.")] = False,
    trust: Trust = False,
) -> None:
    """Make a folder to share of a checkpoint, or push it to the Hugging Face Hub as USER/NAME."""
    from cimnet.inference import load

    if out is None and hub is None:
        raise ConfigError("give --out FOLDER, --hub USER/NAME or both")
    predictor = load(checkpoint, "cpu", trust=trust)
    if out is not None:
        predictor.save(out)
        say(f"written: {out}")
    if hub is not None:
        say(f"pushed: {predictor.push_to_hub(hub, private=not public)}")


def list_models(pattern: Annotated[str, typer.Argument(help="Shell pattern, e.g. 'cimnet_*'.")] = "*") -> None:
    """Print the names of the models."""
    from cimnet.models import list_models as names

    found = names(pattern)
    if not found:
        raise CimnetError(f"no model matches '{pattern}'; `cimnet list-models` prints all")
    print("\n".join(found))
