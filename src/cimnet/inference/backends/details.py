"""The description in an exported file, in addition to the :class:`cimnet.checkpoint.ModelInfo`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from math import inf, isfinite
from pathlib import Path
from typing import Any, Literal

from cimnet.checkpoint import INFO_KEY, ModelInfo, read_info, write_info
from cimnet.errors import CheckpointError
from cimnet.models import RGBTModel
from cimnet.models.base import scaled_size

Precision = Literal["float32", "float16", "bfloat16", "int8"]
EXPORT_KEY = "cimnet_export"
KEYS = INFO_KEY, EXPORT_KEY
LATER = "thermal_channels", "tile", "least", "whole_tiles"
TILE = RGBTModel.stride
"""Side of the tiles that the graphs of most models take."""
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
        tile: height and width of the tiles that the graph takes; images are padded to whole ones.
        least: images are padded to at least this height and width.
        whole_tiles: the file takes only images of whole tiles, because the model does not pad others.
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
    tile: tuple[int, int] = (TILE, TILE)
    least: int = 1
    whole_tiles: bool = False

    def inner_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the size of the encoders' input for images of a size, before padding."""
        return scaled_size(height, width, self.input_scale)

    def tiles_along(self, inner: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of tiles that hold an image of a size."""
        rows, columns = (-(-max(side, self.least) // tile) for side, tile in zip(inner, self.tile, strict=True))
        return rows, columns

    @classmethod
    def of(
        cls,
        model: RGBTModel,
        argmax: bool,
        normalization: bool,
        precision: Precision,
        size: tuple[int, int] | None = None,
        batch: int | None = None,
        smallest_tile: int = 1,
    ) -> Details:
        """Return the details of a model about to be exported, in evaluation mode.

        A file of one size takes the padded image as one tile, a file of any size tiles of the model's stride: so it
        pads what the model pads, and nothing else.

        Args:
            smallest_tile: side of the smallest tile that a graph of any size can have in the format.
        """
        buffers = (model.rgb_mean, model.rgb_std, model.thermal_mean, model.thermal_std)
        rgb_mean, rgb_std, thermal_mean, thermal_std = (tuple(b.flatten().tolist()) for b in buffers)
        side = model.stride if model.stride >= smallest_tile else TILE
        tile = (side, side) if size is None else model.padded_size(*model.inner_size(*size))
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
            tile,
            model.least,
            whole_tiles=size is None and side != model.stride,
        )


def to_metadata(info: ModelInfo, details: Details) -> dict[str, str]:
    """Two JSON texts by key, for whatever place a format has for them. Fields that came later are named where they
    differ from what was before, so that most files stay as they were."""
    content = asdict(details)
    for field in fields(Details):
        if field.name in LATER and content[field.name] == field.default:
            del content[field.name]
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
        fixed["tile"] = height, width = tuple(map(int, content.get("tile", (TILE, TILE))))
        if min(height, width, int(content.get("least", 1))) < 1:
            raise ValueError(f"tile is {height}x{width}, least is {content.get('least')}")
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
