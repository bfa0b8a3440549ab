"""Share trained models: a folder of weights, JSON and a model card, on disk or on the Hugging Face Hub."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path

from cimnet.checkpoint import WEIGHTS, ModelInfo, save_checkpoint
from cimnet.errors import CheckpointError, one_line
from cimnet.models import RGBTModel
from cimnet.utils.files import staged_folder, write_text
from cimnet.utils.tables import markdown_table
from cimnet.version import __version__
from cimnet.weights.locate import HUB_NAME


def save_folder(folder: Path, model: RGBTModel, info: ModelInfo, small: bool = False) -> None:
    """Write ``model.safetensors``, ``config.json`` (the same description, to read) and a model card, ``README.md``.

    Args:
        small: matrices in 8 bits, see :func:`cimnet.checkpoint.save_checkpoint`.

    Raises:
        CimnetError: the folder exists and is not empty, or cannot be written.
    """
    with staged_folder(folder, "choose another") as part:
        save_checkpoint(part / WEIGHTS, model, info, small)
        write_text(part / "config.json", json.dumps({"cimnet": __version__, **asdict(info)}, indent=2) + "\n")
        write_text(part / "README.md", card(model, info))


def push(
    model: RGBTModel,
    info: ModelInfo,
    repository: str,
    private: bool = True,
    token: str | None = None,
    small: bool = False,
) -> str:
    """Upload what `save_folder` writes to ``user/name`` on the Hugging Face Hub, which is made if it is not there.

    Args:
        token: by default the one that `hf auth login` stored, or HF_TOKEN.
        small: see `save_folder`.

    Returns:
        Address of the commit.

    Raises:
        CheckpointError: not logged in, not allowed, or the Hub cannot be reached.
    """
    from huggingface_hub import HfApi

    name = HUB_NAME.fullmatch(repository)
    if name is None or name["revision"]:
        raise CheckpointError(f"'{repository}': expected a repository of the Hugging Face Hub, user/name")
    api = HfApi(endpoint=os.getenv("HF_ENDPOINT"), token=token)
    with tempfile.TemporaryDirectory() as private_folder:
        folder = Path(private_folder) / "model"
        save_folder(folder, model, info, small)
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
