"""Finding the file of weights that a user names: a path, a repository of the Hugging Face Hub, or ``starter``."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

from cimnet.checkpoint import WEIGHTS, checkpoint_file, identity
from cimnet.errors import CheckpointError, DataWarning
from cimnet.utils.hub_access import cached_if_unreachable

EXPORTED = (".onnx", ".xml", ".pt2")
"""Endings of the files of :mod:`cimnet.deploy.export`."""
STARTER = "starter"
"""The name of the checkpoint that comes with the package."""
STARTER_FILE = Path(__file__).with_name("starter.safetensors")
HUB_NAME = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
"""``user/name`` or ``user/name@revision``."""
_HUB_PREFIX = "hub:"


def locate(source: str | Path) -> Path:
    """The local path of what `cimnet.load` was given.

    What exists here, or lies in a folder that does, is a path. ``starter`` is the checkpoint inside the package. A
    repository ``user/name`` or ``user/name@revision`` of the Hub is fetched first, into the Hub client's cache; with
    ``hub:`` before it, it is taken for one although there is such a path.

    Raises:
        CheckpointError: there is no such repository, it holds no weights of this package, or it cannot be reached; or
            this installation has no starter.
    """
    text = str(source)
    if text == STARTER:
        return _locate_starter()
    if text.startswith(_HUB_PREFIX):
        name = HUB_NAME.fullmatch(text.removeprefix(_HUB_PREFIX))
        if name is None:
            raise CheckpointError(f"{text}: expected hub:USER/NAME, or hub:USER/NAME@REVISION")
        return _fetch(text, name)
    path = Path(source)
    name = HUB_NAME.fullmatch(text)
    try:
        there = path.exists() or path.parent.exists()
    except OSError:  # a name that is too long: whoever opens it says so
        there = True
    if there or path.suffix in (".safetensors", *EXPORTED) or name is None:
        return path
    return _fetch(text, name)


def identity_of(source: str | Path) -> str:
    """Return a model's identity, also for ``starter`` and a name on the Hub, see :func:`cimnet.checkpoint.identity`.

    Raises:
        CheckpointError: it cannot be found or read.
    """
    return identity(locate(source))


def _locate_starter() -> Path:
    """The checkpoint inside the package, unless the working folder holds a checkpoint of that name: a path that exists
    comes first, as with recipes, and a warning says so."""
    here = Path(STARTER)
    if checkpoint_file(here).is_file():
        warnings.warn(
            DataWarning(
                f"{STARTER}: taking the checkpoint of that name in this folder, not the one that comes with cimnet; "
                "rename it to use that one"
            ),
            stacklevel=3,
        )
        return here
    if here.is_dir():  # `./starter` comes as `starter`, too
        warnings.warn(
            DataWarning(
                f"{STARTER}: taking the checkpoint that comes with cimnet; the folder of that name here holds none"
            ),
            stacklevel=3,
        )
    if not STARTER_FILE.is_file():
        raise CheckpointError(
            f"checkpoint {STARTER}: {STARTER_FILE} is missing; install the released package, or make the file with "
            "benchmarks/make_starter.sh"
        )
    return STARTER_FILE


def _fetch(source: str, name: re.Match[str]) -> Path:
    """Fetch the weights in a repository of the Hub.

    Raises:
        CheckpointError: as `locate`.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    endpoint = os.getenv("HF_ENDPOINT")
    try:
        with cached_if_unreachable(endpoint):
            return Path(hf_hub_download(name["repository"], WEIGHTS, revision=name["revision"], endpoint=endpoint))
    except LocalEntryNotFoundError as error:
        raise CheckpointError(
            f"{source}: no such file or folder, and the Hugging Face Hub cannot be reached; check path and network"
        ) from error
    except EntryNotFoundError as error:
        raise CheckpointError(f"{source}: this repository on the Hub has no {WEIGHTS}") from error
    except (OSError, ValueError) as error:  # the client's own errors derive from these
        raise CheckpointError(f"{source}: no such file or folder, and not on the Hugging Face Hub either") from error
