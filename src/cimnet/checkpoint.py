"""Checkpoints: one safetensors file with everything needed to use the model alone. Loading executes nothing."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from cimnet.data.classes import ClassList
from cimnet.data.io.second_modality import THERMAL, SecondModality, parse_second
from cimnet.data.io.thermal_scaling import ThermalScaling, parse_thermal
from cimnet.errors import CheckpointError, ConfigError, DataError, one_line
from cimnet.models import RGBTModel, create_model
from cimnet.models.outline import Outline, SkipInit, outline_model
from cimnet.utils.files import resolved, write_atomically
from cimnet.utils.packed_tensors import pack, unpack
from cimnet.utils.safetensors_header import Header, read_header

FORMAT = 1
INFO_KEY = "cimnet"
WEIGHTS = "model.safetensors"
"""The file in a folder that :func:`cimnet.inference.hub.save_folder` wrote."""
_BEST = "best.safetensors"
"""The file in a run folder."""
_OF_TORCH = (".pth", ".pt", ".ckpt", ".tar")
"""Endings of files that torch.save wrote, as most authors call them."""


@dataclass(frozen=True)
class ModelInfo:
    """The description of a model that its checkpoint holds beside the weights.

    Attributes:
        name: name for :func:`cimnet.create_model`.
        options: further arguments for it. Weights are never downloaded again.
        classes: class names, in the order of the ids.
        colors: (red, green, blue) of each class, 0..255.
        scaling: how thermal values become 0..1.
        thermal_dtype: type of the thermal images in training, ``uint8``, ``uint16`` or ``float32``; others have other
            units. None: unknown.
        metrics: scores on the validation split when the checkpoint was written, 0..1.
        temperature: number by which logits are divided for calibrated probabilities. None: not calibrated.
        alarm: what :class:`cimnet.inference.alarms.alarm.AlarmModel` keeps, plain JSON. None: not calibrated.
        second: what the second images are: thermal, near infrared and the like.
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
    second: SecondModality = THERMAL


def save_checkpoint(path: Path, model: RGBTModel, info: ModelInfo, small: bool = False) -> None:
    """Write weights, normalisation and ``info`` atomically; ``small``: matrices in 8 bits, see
    :mod:`cimnet.utils.packed_tensors`."""
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    state = pack(state) if small else state
    metadata = {INFO_KEY: write_info(info)}
    write_atomically(path, lambda p: safetensors.torch.save_file(state, p, metadata=metadata))


def checkpoint_file(path: str | Path) -> Path:
    """The weights a path stands for: in a folder ``model.safetensors`` if it is there, or ``best.safetensors``."""
    path = Path(path)
    if not path.is_dir():
        return path
    return path / WEIGHTS if (path / WEIGHTS).is_file() else path / _BEST


def weight_files(path: str | Path) -> list[Path]:
    """All files that hold a model, of any format that `cimnet.load` opens: beside an ``.xml`` of OpenVINO its ``.bin``,
    beside an ``.onnx`` its external data (``.onnx.data`` or ``.onnx_data``), else the one of `checkpoint_file`."""
    file = checkpoint_file(path)
    beside = {
        ".xml": [file.with_suffix(".bin")],
        ".onnx": [file.with_name(f"{file.name}.data"), file.with_name(f"{file.name}_data")],
    }.get(file.suffix, [])
    return [file, *(other for other in beside if other.is_file())]


def identity(path: str | Path) -> str:
    """Return the SHA-256 (64 hex digits) of all bytes of a model's files, see `weight_files`. For a model of one file,
    ``sha256sum`` gives the same. Exports of one model to different formats or precisions have different ones.

    Args:
        path: a local file or folder; a name goes through :func:`cimnet.weights.locate.locate` first.

    Raises:
        CheckpointError: there is no such file, or it cannot be read.
    """
    total, block = hashlib.sha256(), memoryview(bytearray(1 << 20))
    try:
        for file in weight_files(path):
            with file.open("rb", buffering=0) as stream:
                while count := stream.readinto(block):
                    total.update(block[:count])
    except OSError as error:
        raise CheckpointError(
            f"checkpoint {path}: cannot be read ({error.strerror}); give a .safetensors file, a run folder or an export"
        ) from error
    return total.hexdigest()


def identity_in_memory(model: nn.Module, info: ModelInfo) -> str:
    """Return the SHA-256 of a model in memory, over ``info`` and the names and values of all weights, because the model
    may have changed since it was read. A model that is no module shows no weights: use `identity` of its file."""
    total = hashlib.sha256(json.dumps(asdict(info), sort_keys=True).encode())
    for name, tensor in model.state_dict().items():
        total.update(name.encode())
        total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()


def load_checkpoint(path: str | Path) -> tuple[RGBTModel, ModelInfo]:
    """Rebuild the model, in evaluation mode on the CPU, and its :class:`ModelInfo`.

    Args:
        path: a ``.safetensors`` file of this package, a run folder that holds ``best.safetensors``, or a folder to
            share, with ``model.safetensors``.

    Raises:
        CheckpointError: if there is no such file, it is damaged, or it is not a checkpoint of this package.
    """
    try:
        path = checkpoint_file(path)
        if not path.is_file():
            raise CheckpointError(_missing(path))
        path.open("rb").close()  # safetensors takes a file that may not be read for a damaged one
    except OSError as error:  # also of a name that is too long
        raise CheckpointError(f"checkpoint {path}: cannot be read ({error.strerror}); give another path") from error
    header = _read_header(path)
    info = read_info(path, header.metadata)
    options = {key: value for key, value in info.options.items() if key != "pretrained"}
    try:
        with Outline(header.numbers, len(header.tensors)):  # before anything is allocated
            _fill(outline_model(info.name, len(info.classes), **options), unpack(header.tensors))
        state = unpack(safetensors.torch.load_file(path))
        with SkipInit():  # all that it would make is replaced
            model = create_model(info.name, len(info.classes), **options)
        _fill(model, state)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"checkpoint {path}: damaged or not a safetensors file ({error})") from error
    except (ConfigError, RuntimeError, TypeError, ValueError, RecursionError) as error:
        reason = one_line(error)
        raise CheckpointError(
            f"checkpoint {path}: does not fit model '{info.name}' of this version: {reason}"
        ) from error
    broken = next((key for key, value in state.items() if not _is_finite(value)), None)
    if broken is not None:
        raise CheckpointError(f"checkpoint {path}: weights of '{broken}' are NaN or infinite; take an earlier one")
    return model.eval(), info


def _missing(path: Path) -> str:
    """Say that a checkpoint is not there, and which path to give."""
    folder = path.parent
    if path.name != _BEST or not (folder / "cross_validation.json").is_file():
        return f"checkpoint {path}: no such file; give a .safetensors file or a run folder"
    run = min((file.parent for file in folder.glob(f"seed*/fold[0-9]*/{_BEST}")), default=None)
    if run is None:
        return f"checkpoint {folder}: is a cross-validation, and none of its runs holds a model yet; let it train"
    own = own_test_part(run)
    return f"checkpoint {folder}: is a cross-validation; give one of its runs, such as {run} (its own test part: {own})"


def own_test_part(run: Path) -> str | None:
    """The split on which `cimnet cross-validate` tests the run in a folder, by the folder's name; None: of no fold."""
    fold = re.fullmatch(r"fold(\d+)", resolved(run).name)
    return f"folds/{fold[1]}/test" if fold else None


def read_description(path: Path) -> ModelInfo:
    """Read the description in a ``.safetensors`` file without reading the weights.

    Raises:
        CheckpointError: it is damaged, or not a checkpoint of this package.
    """
    return read_info(path, _read_header(path).metadata)


def _read_header(path: Path) -> Header:
    try:
        return read_header(path)
    except (OSError, ValueError) as error:
        hint = "; official weights of a published network go through `cimnet import` first"
        raise CheckpointError(
            f"checkpoint {path}: damaged or not a safetensors file ({error}){hint * (path.suffix in _OF_TORCH)}"
        ) from error


def _fill(model: RGBTModel, state: dict[str, Tensor]) -> None:
    model.load_state_dict(state)


def _is_finite(values: Tensor) -> bool:
    """Whether all values are finite. Computed by numpy: hundreds of small tensors cost torch's threads more than the
    numbers do."""
    return bool(np.isfinite((values.float() if values.dtype == torch.bfloat16 else values).numpy()).all())


def write_info(info: ModelInfo) -> str:
    """A description as JSON, for the metadata of a file, under `INFO_KEY`."""
    return json.dumps({"format": FORMAT, **asdict(info)})


def read_info(path: Path, metadata: dict[str, str]) -> ModelInfo:
    """Read a `ModelInfo` from a file's metadata.

    Raises:
        CheckpointError: there is no description, or one of another version.
    """
    try:
        content = json.loads(metadata[INFO_KEY])
        if content.pop("format") != FORMAT:
            raise CheckpointError(
                f"checkpoint {path}: written by another version of cimnet; convert it with that version"
            )
        classes = ClassList(
            tuple(map(str, content["classes"])), tuple((int(r), int(g), int(b)) for r, g, b in content["colors"])
        )
        temperature = content.get("temperature")
        if not all(0 <= value <= 255 for color in classes.colors for value in color):
            raise ValueError("colours are not in 0..255")
        if temperature is not None and not 0 < float(temperature) < float("inf"):
            raise ValueError(f"temperature is {temperature}")
        if content.get("thermal_dtype") not in (None, "uint8", "uint16", "float32"):
            raise ValueError(f"thermal_dtype is {content['thermal_dtype']!r}")
        second = parse_second(content.get("second"), "second modality") or THERMAL
        if dict(content["options"]).get("thermal_channels", 1) != second.channels:
            raise ValueError(f"thermal_channels is not that of {second}")
        return ModelInfo(
            name=str(content["name"]),
            options=dict(content["options"]),
            classes=classes.names,
            colors=classes.colors,
            scaling=parse_thermal(content["scaling"], str(path)) or ThermalScaling(),
            thermal_dtype=content.get("thermal_dtype"),
            metrics={str(name): float(value) for name, value in content["metrics"].items()},
            temperature=None if temperature is None else float(temperature),
            alarm=None if content.get("alarm") is None else dict(content["alarm"]),
            second=second,
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError, DataError) as error:
        reason = f"no field {error}" if isinstance(error, KeyError) else one_line(error, 120)
        raise CheckpointError(
            f"checkpoint {path}: holds no description of a cimnet model ({reason}); take a file that cimnet wrote"
        ) from error
