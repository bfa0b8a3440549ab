"""Checkpoints: one safetensors file with everything needed to use the model alone. Loading executes nothing."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open

from cimnet.data.thermal import ThermalScaling, parse_thermal
from cimnet.errors import CheckpointError, ConfigError, DataError
from cimnet.files import write_atomically
from cimnet.models import RGBTModel, create_model

FORMAT = 1
INFO_KEY = "cimnet"
WEIGHTS = "model.safetensors"
"""The file in a folder that :func:`cimnet.inference.hub.save_folder` wrote."""


@dataclass(frozen=True)
class ModelInfo:
    """What stands beside the weights.

    Attributes:
        name: for :func:`cimnet.create_model`, with ``options`` (weights are never fetched again).
        classes, colors: name and (red, green, blue) of each class id.
        scaling: how thermal values become 0..1.
        thermal_dtype: ``uint8``, ``uint16`` or ``float32``, the depth of the thermal images in training: others have
            other units. None: not known.
        metrics: scores on the validation split when the checkpoint was written.
        temperature: logits are divided by it for calibrated probabilities. None: not calibrated.
        alarm: what :class:`cimnet.confidence.alarm.AlarmModel` keeps, plain JSON. None: not calibrated.
    """

    name: str
    options: dict[str, Any]
    classes: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    scaling: ThermalScaling = field(default_factory=ThermalScaling)
    thermal_dtype: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    temperature: float | None = None
    alarm: dict[str, Any] | None = None


def save_checkpoint(path: Path, model: RGBTModel, info: ModelInfo) -> None:
    """Write weights, normalisation and ``info`` atomically."""
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    metadata = {INFO_KEY: write_info(info)}
    write_atomically(path, lambda p: safetensors.torch.save_file(state, p, metadata=metadata))


def checkpoint_file(path: str | Path) -> Path:
    """The weights a path stands for: in a folder ``model.safetensors`` if it is there, or ``best.safetensors``."""
    path = Path(path)
    if not path.is_dir():
        return path
    return path / WEIGHTS if (path / WEIGHTS).is_file() else path / "best.safetensors"


def load_checkpoint(path: str | Path) -> tuple[RGBTModel, ModelInfo]:
    """Rebuild the model, in evaluation mode on the CPU, and its :class:`ModelInfo`.

    Args:
        path: a ``.safetensors`` file of this package, a run folder that holds ``best.safetensors``, or a folder to
            share, with ``model.safetensors``.

    Raises:
        CheckpointError: if there is no such file, it is damaged, or it is not a checkpoint of this package.
    """
    path = checkpoint_file(path)
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path}: no such file; give a .safetensors file or a run folder")
    try:
        with safe_open(path, framework="pt") as handle:
            metadata = handle.metadata() or {}
        state = safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"checkpoint {path}: damaged or not a safetensors file ({error})") from error
    info = read_info(path, metadata)
    options = {key: value for key, value in info.options.items() if key != "pretrained"}
    try:
        model = create_model(info.name, len(info.classes), **options)
        model.load_state_dict(state)
    except (ConfigError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"checkpoint {path}: does not fit model '{info.name}' of this version: {reason}"
        ) from error
    return model.eval(), info


def write_info(info: ModelInfo) -> str:
    """A description as JSON, for the metadata of a file, under `INFO_KEY`."""
    return json.dumps({"format": FORMAT, **asdict(info)})


def read_info(path: Path, metadata: dict[str, str]) -> ModelInfo:
    """The reverse, from a file's metadata.

    Raises:
        CheckpointError: there is no description, or one of another version.
    """
    try:
        content = json.loads(metadata[INFO_KEY])
        if content.pop("format") != FORMAT:
            raise CheckpointError(
                f"checkpoint {path}: written by another version of cimnet; convert it with that version"
            )
        if len(content["colors"]) != len(content["classes"]):
            raise ValueError("as many colours as classes are needed")
        return ModelInfo(
            name=str(content["name"]),
            options=dict(content["options"]),
            classes=tuple(map(str, content["classes"])),
            colors=tuple((int(r), int(g), int(b)) for r, g, b in content["colors"]),
            scaling=parse_thermal(content.get("scaling", content.get("thermal_range")), str(path)) or ThermalScaling(),
            thermal_dtype=content.get("thermal_dtype"),
            metrics=dict(content["metrics"]),
            temperature=None if content.get("temperature") is None else float(content["temperature"]),
            alarm=None if content.get("alarm") is None else dict(content["alarm"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, DataError) as error:
        raise CheckpointError(f"checkpoint {path}: holds no description of a cimnet model") from error
