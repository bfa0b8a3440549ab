"""Run exported files: ONNX Runtime, OpenVINO, torch. Each gives what :class:`cimnet.inference.Predictor` runs."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cimnet.checkpoint import ModelInfo
from cimnet.errors import CheckpointError, one_line
from cimnet.inference.backends.details import KEYS, REMEDY, TILE, Details, from_metadata
from cimnet.inference.backends.openvino_file import compile_openvino, import_openvino
from cimnet.inference.backends.pt2_archive import checked_archive
from cimnet.inference.backends.segmenter import Segmenter
from cimnet.inference.finite import require_finite
from cimnet.models import Output
from cimnet.models.base import class_ids, scaled_size
from cimnet.models.blank import present_mask
from cimnet.utils.extras import install, require

OLDEST_RUNTIME = (1, 25, 1)
Run = Callable[[Tensor, Tensor], Tensor]


def load_exported(path: Path, trust: bool = False) -> tuple[Segmenter, ModelInfo]:
    """Open a file that :func:`cimnet.deploy.export.export` wrote.

    Args:
        path: ``.onnx``, ``.xml`` (beside its ``.bin``) or ``.pt2``.
        trust: whether to open a ``.pt2`` file, which can run code.

    Raises:
        CheckpointError: if there is no such file, it is damaged, another program wrote it, the installed runtime is
            too old for it, or it is a ``.pt2`` file without ``trust``.
        ConfigError: if the extra that runs it is not installed.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; {REMEDY}")
    opened = {".onnx": _open_onnx, ".xml": _open_openvino, ".pt2": _open_pt2}.get(path.suffix)
    if opened is None:
        raise CheckpointError(f"{path}: the name of an exported model ends in .onnx, .xml or .pt2")
    if path.suffix == ".pt2" and not trust:
        raise CheckpointError(
            f"{path}: a .pt2 file can run code when torch opens it; if you made it yourself, load it with trust=True "
            "(on the command line --trust), else ask for a .safetensors or .onnx file"
        )
    run, info, details = opened(path)
    return ExportedModel(path, run, details), info


class ExportedModel:
    """A model in another runtime, called like a model of this package: images in 0..1, any size, on the CPU.

    Attributes:
        path: the file.
        details: how it was exported.
    """

    def __init__(self, path: Path, run: Run, details: Details) -> None:
        self.path, self.details, self._run = path, details, run
        self._statistics = [
            torch.tensor(values).view(1, -1, 1, 1)
            for values in (details.rgb_mean, details.rgb_std, details.thermal_mean, details.thermal_std)
        ]

    def __call__(self, rgb: Tensor, thermal: Tensor, /) -> Output:
        """Images (B, 3, H, W) and (B, C, H, W) to logits (B, K, H, W).

        Raises:
            CheckpointError: the file gives class ids only.
        """
        self.require_logits()
        return Output(self._call(rgb, thermal))

    def require_logits(self) -> None:
        """Refuse a file that gives class ids only.

        Raises:
            CheckpointError: it does.
        """
        if self.details.argmax:
            raise CheckpointError(
                f"{self.path}: exported with --argmax, it gives class ids and no logits or probabilities; "
                "export it again with --logits"
            )

    def predict(self, rgb: Tensor, thermal: Tensor, /) -> Tensor:
        """The same images to class ids (B, H, W), int64.

        Raises:
            CheckpointError: the file gives logits, and some are not finite.
        """
        found = self._call(rgb, thermal)
        return found if self.details.argmax else class_ids(require_finite(found))

    def _call(self, rgb: Tensor, thermal: Tensor) -> Tensor:
        channels = self.details.thermal_channels
        if rgb.ndim != 4 or rgb.shape[1] != 3 or thermal.shape != (rgb.shape[0], channels, *rgb.shape[2:]):
            raise ValueError(
                f"got rgb {tuple(rgb.shape)} and thermal {tuple(thermal.shape)}, expected (B, 3, H, W) and "
                f"(B, {channels}, H, W)"
            )
        self.require_size(*rgb.shape[2:])
        rgb, thermal = rgb.detach().cpu().float(), thermal.detach().cpu().float()
        if not self.details.normalization:
            rgb_mean, rgb_std, thermal_mean, thermal_std = self._statistics
            rgb, thermal = (rgb - rgb_mean) / rgb_std, (thermal - thermal_mean) / thermal_std
        return self._run_batches(rgb, thermal)

    def require_size(self, height: int, width: int) -> None:
        """Refuse images of a size that the file does not take, or would pad and the model would not.

        Raises:
            CheckpointError: it names both sizes.
        """
        size = self.details.size
        if size is not None and size != (height, width):
            raise CheckpointError(
                f"{self.path}: exported for images of {size[0]}x{size[1]}, these have {height}x{width}; "
                "export it again without --size, or give images of that size"
            )
        inner, tile = self.details.inner_size(height, width), self.details.tile
        if self.details.whole_tiles and any(side % whole for side, whole in zip(inner, tile, strict=True)):
            raise CheckpointError(
                f"{self.path}: this network takes any size, its file only multiples of {tile[0]}, these images have "
                f"{height}x{width}; export it again with --size {height}x{width}, or to .onnx or .xml"
            )

    def _run_batches(self, rgb: Tensor, thermal: Tensor) -> Tensor:
        """One pass; for a file of a fixed batch, one for each such batch, the last one filled with its last pair."""
        batch = self.details.batch
        if batch is None:
            return self._run(rgb, thermal)
        passes = -(-len(rgb) // batch)
        filled = torch.arange(passes * batch).clamp(max=len(rgb) - 1).view(passes, batch)
        return torch.cat([self._run(rgb[places], thermal[places]) for places in filled])[: len(rgb)]


def _open_onnx(path: Path) -> tuple[Run, ModelInfo, Details]:
    onnxruntime = require("onnxruntime", "export", str(path))
    _check_version(path, onnxruntime.__version__)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=onnxruntime.get_available_providers())
        metadata = session.get_modelmeta().custom_metadata_map
    except Exception as error:  # ONNX Runtime's errors have no common class
        raise CheckpointError(f"{path}: ONNX Runtime cannot open it ({one_line(error)}); {REMEDY}") from error
    info, details = from_metadata(path, metadata)
    shapes = [entry.shape for entry in session.get_inputs() if entry.name == "thermal"]
    channels = shapes[0][1] if shapes and len(shapes[0]) > 1 else "no"
    _require_channels(path, channels, details.thermal_channels)

    def run(rgb: Tensor, thermal: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"rgb": rgb.numpy(), "thermal": thermal.numpy()})[0])

    return run, info, details


def _check_version(path: Path, installed: str) -> None:
    numbers = tuple(int(n) for n in re.findall(r"\d+", installed)[:3])
    if numbers < OLDEST_RUNTIME:
        oldest = ".".join(map(str, OLDEST_RUNTIME))
        raise CheckpointError(
            f"{path}: onnxruntime {installed} has no deformable convolution, {oldest} has; {install('export')}"
        )


def _require_channels(path: Path, found: object, expected: int) -> None:
    """Refuse a file whose graph takes another number of channels than its description says.

    Raises:
        CheckpointError: naming both numbers.
    """
    if found != expected:
        raise CheckpointError(
            f"{path}: its graph takes {found} channels of the second image where its description says {expected}; "
            f"{REMEDY}"
        )


def _open_openvino(path: Path) -> tuple[Run, ModelInfo, Details]:
    openvino = import_openvino("openvino", str(path))
    if not path.with_suffix(".bin").is_file():
        raise CheckpointError(f"{path.with_suffix('.bin')}: missing, it holds the weights of {path.name}; {REMEDY}")
    try:
        core = openvino.Core()
        model = core.read_model(path)
        metadata = {key: str(model.get_rt_info(key).value) for key in KEYS if model.has_rt_info(key)}
        info, details = from_metadata(path, metadata)
        shape = model.input("thermal").get_partial_shape()
        known = shape.rank.is_static and len(shape) > 1 and shape[1].is_static
        _require_channels(path, shape[1].get_length() if known else "any number of", details.thermal_channels)
        compiled = compile_openvino(core, model, details.precision == "bfloat16")
    except RuntimeError as error:
        raise CheckpointError(f"{path}: OpenVINO cannot open it ({one_line(error)}); {REMEDY}") from error

    def run(rgb: Tensor, thermal: Tensor) -> Tensor:
        found = compiled([np.ascontiguousarray(rgb.numpy()), np.ascontiguousarray(thermal.numpy())])
        return torch.from_numpy(np.array(found))

    return run, info, details


def _open_pt2(path: Path) -> tuple[Run, ModelInfo, Details]:
    if not zipfile.is_zipfile(path):  # torch would print pages
        raise CheckpointError(f"{path}: damaged, or not of torch.export; {REMEDY}")
    archive = checked_archive(path)
    import torchvision  # noqa: F401  # the file names its operators

    extra = dict.fromkeys(KEYS, "")
    try:
        program = torch.export.load(archive, extra_files=extra)
        network: Any = program.module()
        tiles = next(node for node in program.graph.nodes if node.name in program.graph_signature.user_inputs)
        channels = tiles.meta["val"].shape[1] - 3
    except Exception as error:  # a damaged archive shows itself in many ways
        raise CheckpointError(f"{path}: torch cannot open it ({one_line(error)}); {REMEDY}") from error
    info, details = from_metadata(path, {key: text for key, text in extra.items() if text})
    _require_channels(path, channels, details.thermal_channels)

    @torch.inference_mode()
    def run(rgb: Tensor, thermal: Tensor) -> Tensor:
        tiles, inner = cut_tiles(rgb, thermal, details.input_scale, details.tile)
        logits = network(tiles)[:, :, : inner[0], : inner[1]]
        if inner != tuple(rgb.shape[-2:]):
            logits = F.interpolate(logits, size=rgb.shape[-2:], mode="bilinear", align_corners=False)
        return class_ids(logits) if details.argmax else logits

    return run, info, details


def cut_tiles(
    rgb: Tensor, thermal: Tensor, scale: float = 1.0, tile: tuple[int, int] = (TILE, TILE)
) -> tuple[Tensor, tuple[int, int]]:
    """Return the input of a ``.pt2`` file's graph: (B, 3 + C, h, T, w, U), tiles (T, U), scaled, padded by
    repeating the border; and the size before padding. Images of one value stay exactly that."""
    pair = torch.cat((rgb, thermal), dim=1)
    height, width = scaled_size(pair.shape[-2], pair.shape[-1], scale)
    if (height, width) != tuple(pair.shape[-2:]):
        resized = F.interpolate(pair, size=(height, width), mode="bilinear", align_corners=False, antialias=True)
        same = torch.cat([_of_one_value(image).expand(-1, image.shape[1], 1, 1) for image in (rgb, thermal)], dim=1)
        pair = torch.where(same, pair[:, :, :1, :1], resized)
    pair = F.pad(pair, (0, -width % tile[1], 0, -height % tile[0]), mode="replicate")
    rows, columns = pair.shape[2] // tile[0], pair.shape[3] // tile[1]
    return pair.reshape(*pair.shape[:2], rows, tile[0], columns, tile[1]), (height, width)


def _of_one_value(images: Tensor) -> Tensor:
    return ~present_mask(images).view(-1, 1, 1, 1)
