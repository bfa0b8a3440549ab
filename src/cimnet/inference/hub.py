"""Share trained models: a folder of weights, JSON and a model card, on disk or on the Hugging Face Hub."""

from __future__ import annotations

import json
import os
import re
import tempfile
from dataclasses import asdict
from pathlib import Path

from cimnet.checkpoint import WEIGHTS, ModelInfo, identity, save_checkpoint
from cimnet.errors import CheckpointError, one_line
from cimnet.models import RGBTModel
from cimnet.utils.files import staged_folder, write_text
from cimnet.utils.hub_access import cached_if_unreachable
from cimnet.utils.tables import markdown_table
from cimnet.version import __version__

EXPORTED = (".onnx", ".xml", ".pt2")
"""Endings of the files of :mod:`cimnet.deploy.export`."""
_NAME = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")


def locate(source: str | Path) -> Path:
    """The local path of what `cimnet.load` was given; a repository ``user/name`` or ``user/name@revision`` of the Hub
    is fetched first, into the Hub client's cache. What exists here, or lies in a folder that does, is a path.

    Raises:
        CheckpointError: there is no such repository, it holds no weights of this package, or it cannot be reached.
    """
    path = Path(source)
    name = _NAME.fullmatch(str(source))
    try:
        there = path.exists() or path.parent.exists()
    except OSError:  # a name that is too long: whoever opens it says so
        there = True
    if there or path.suffix in (".safetensors", *EXPORTED) or name is None:
        return path
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


def identity_of(source: str | Path) -> str:
    """Which model this is, also of a name on the Hub, see :func:`cimnet.checkpoint.identity`.

    Raises:
        CheckpointError: it cannot be found or read.
    """
    return identity(locate(source))


def save_folder(folder: Path, model: RGBTModel, info: ModelInfo) -> None:
    """Write ``model.safetensors``, ``config.json`` (the same description, to read) and a model card, ``README.md``.

    Raises:
        CimnetError: the folder exists and is not empty, or cannot be written.
    """
    with staged_folder(folder, "choose another") as part:
        save_checkpoint(part / WEIGHTS, model, info)
        write_text(part / "config.json", json.dumps({"cimnet": __version__, **asdict(info)}, indent=2) + "\n")
        write_text(part / "README.md", card(model, info))


def push(model: RGBTModel, info: ModelInfo, repository: str, private: bool = True, token: str | None = None) -> str:
    """Upload what `save_folder` writes to ``user/name`` on the Hugging Face Hub, which is made if it is not there.

    Args:
        token: by default the one that `hf auth login` stored, or HF_TOKEN.

    Returns:
        Address of the commit.

    Raises:
        CheckpointError: not logged in, not allowed, or the Hub cannot be reached.
    """
    from huggingface_hub import HfApi

    name = _NAME.fullmatch(repository)
    if name is None or name["revision"]:
        raise CheckpointError(f"'{repository}': expected a repository of the Hugging Face Hub, user/name")
    api = HfApi(endpoint=os.getenv("HF_ENDPOINT"), token=token)
    with tempfile.TemporaryDirectory() as private_folder:
        folder = Path(private_folder) / "model"
        save_folder(folder, model, info)
        try:
            api.create_repo(repository, private=private, exist_ok=True)
            return str(api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Upload model"))
        except Exception as error:  # the client's network library differs by version
            reason = one_line(error)
            raise CheckpointError(
                f"{repository}: cannot be uploaded ({reason}); log in with `hf auth login`"
            ) from error


_TAGS = {"thermal": ("rgb-thermal", "rgb-t")}


def card(model: RGBTModel, info: ModelInfo) -> str:
    """A model card in Markdown: front matter for the Hub, use, classes, inputs, scores."""
    from huggingface_hub import ModelCard, ModelCardData

    front = ModelCardData(
        library_name="cimnet",
        pipeline_tag="image-segmentation",
        tags=["semantic-segmentation", *_TAGS.get(info.second.name, (f"rgb-{info.second.name}",)), "multispectral"],
    )
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    second = info.second
    thermal = f"{info.thermal_dtype or 'any depth'}, scaled to 0..1 by {json.dumps(asdict(info.scaling))}"
    classes = [(k, name, info.colors[k]) for k, name in enumerate(info.classes)]
    lines = [
        f"---\n{front.to_yaml()}\n---\n",
        f"# {info.name}\n",
        f"RGB-{second.name} semantic segmentation, {parameters:.1f} M parameters, made with cimnet {__version__}.\n",
        f"```python\nimport cimnet\n\nids = cimnet.load('USER/NAME').predict('rgb.png', '{second.name}.png')\n```\n",
        f"- RGB: 8 bits, or floats in 0..1. {str(second).capitalize()}: {thermal}. Both of one size and registered.",
        "- Either image may be missing (`None`).",
        f"- Temperature for calibrated probabilities: {info.temperature or 'not fitted'}; alarms for broken sensors: "
        f"{'yes' if info.alarm else 'none'}.\n",
        "## Classes\n",
        markdown_table(["id", "class", "colour"], classes, "rl"),
        "## Scores on the validation split when training ended\n",
        markdown_table(["score", "value"], [(name, f"{value:.4f}") for name, value in info.metrics.items()]),
        "## Options of the model\n",
        f"```json\n{json.dumps(info.options, indent=2)}\n```",
        "\nNot said by this file: which data the model was trained on and under which terms. Add it here.",
    ]
    return str(ModelCard("\n".join(lines) + "\n"))
