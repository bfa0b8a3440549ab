"""The description in an exported file, in addition to the :class:`cimnet.checkpoint.ModelInfo`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from math import inf, isfinite
from pathlib import Path
from typing import Any, Literal

from cimnet.checkpoint import INFO_KEY, ModelInfo, read_info, write_info
from cimnet.errors import CheckpointError
from cimnet.models import RGBTModel

Precision = Literal["float32", "float16", "bfloat16", "int8"]
EXPORT_KEY = "cimnet_export"
KEYS = INFO_KEY, EXPORT_KEY
REMEDY = "make it with `cimnet export CHECKPOINT --out FILE`"


@dataclass(frozen=True)
class Details:
    """The export settings of a file.

    Attributes:
        argmax: the file gives class ids (B, H, W) int64, not logits (B, K, H, W) float32.
        normalization: the file takes images in 0..1; else normalised ones, (image − mean) / std.
        precision: ``float16``: weights and features are; ``bfloat16``: ask the runtime for it (OpenVINO); ``int8``:
            weights and features are quantised.
        input_scale: factor on height and width before the encoders.
        rgb_mean, rgb_std, thermal_mean, thermal_std: per channel, of images in 0..1.
        size: the one (height, width) that the file takes; None: any.
        batch: the one number of pairs that a pass takes; None: any.
        thermal_channels: C of the thermal image (B, C, H, W); more than 1 of another second modality.
    """

    argmax: bool
    normalization: bool
    precision: Precision
    input_scale: float
    rgb_mean: tuple[float, ...]
    rgb_std: tuple[float, ...]
    thermal_mean: tuple[float, ...]
    thermal_std: tuple[float, ...]
    size: tuple[int, int] | None = None
    batch: int | None = None
    thermal_channels: int = 1

    @classmethod
    def of(
        cls,
        model: RGBTModel,
        argmax: bool,
        normalization: bool,
        precision: Precision,
        size: tuple[int, int] | None = None,
        batch: int | None = None,
    ) -> Details:
        """Return the details of a model about to be exported."""
        buffers = (model.rgb_mean, model.rgb_std, model.thermal_mean, model.thermal_std)
        rgb_mean, rgb_std, thermal_mean, thermal_std = (tuple(b.flatten().tolist()) for b in buffers)
        return cls(
            argmax,
            normalization,
            precision,
            model.input_scale,
            rgb_mean,
            rgb_std,
            thermal_mean,
            thermal_std,
            size,
            batch,
            model.thermal_channels,
        )


def to_metadata(info: ModelInfo, details: Details) -> dict[str, str]:
    """Two JSON texts by key, for whatever place a format has for them. The number of channels is named where it is not
    1, so that files of thermal images stay as they were."""
    content = asdict(details)
    if details.thermal_channels == 1:
        del content["thermal_channels"]
    return {INFO_KEY: write_info(info), EXPORT_KEY: json.dumps(content)}


def from_metadata(path: Path, metadata: dict[str, str]) -> tuple[ModelInfo, Details]:
    """Read `ModelInfo` and details from a file's metadata.

    Raises:
        CheckpointError: another program wrote the file, or the texts are damaged or contradict each other.
    """
    if INFO_KEY not in metadata or EXPORT_KEY not in metadata:
        raise CheckpointError(f"{path}: not exported by cimnet, it names no classes; {REMEDY}")
    info = read_info(path, metadata)
    try:
        content = json.loads(metadata[EXPORT_KEY])
        channels = content.get("thermal_channels", 1)
        if channels != info.second.channels:
            raise ValueError(f"thermal_channels is not that of {info.second}")
        statistics = _statistics(content, channels)
        if not 0 < float(content["input_scale"]) < inf:
            raise ValueError(f"input_scale is {content['input_scale']}")
        fixed: dict[str, Any] = {"size": None, "batch": None}
        if content.get("size") is not None:
            fixed["size"] = height, width = tuple(map(int, content["size"]))
            if min(height, width) < 1:
                raise ValueError(f"size is {height}x{width}")
        if content.get("batch") is not None:
            fixed["batch"] = int(content["batch"])
            if fixed["batch"] < 1:
                raise ValueError(f"batch is {fixed['batch']}")
        return info, Details(**{**content, **statistics, **fixed})
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"{path}: its description is damaged or of another version; {REMEDY}") from error


def _statistics(content: dict[str, Any], channels: int) -> dict[str, Any]:
    """Means and deviations, by the name of the field.

    Raises:
        ValueError: not one finite number a channel; a network may take one thermal channel as three.
    """
    found = {}
    for key in ("rgb_mean", "rgb_std", "thermal_mean", "thermal_std"):
        values = found[key] = tuple(map(float, content[key]))
        lengths = (channels,) if channels > 1 and key.startswith("thermal") else (1, 3)
        if len(values) not in lengths or not all(map(isfinite, values)):
            raise ValueError(f"{key} has not one finite number a channel")
    return found
