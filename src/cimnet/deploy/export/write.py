"""Export: trace, convert, compare with the model, and only then give the file its name."""

from __future__ import annotations

import copy
import io
from pathlib import Path
from typing import Literal, get_args

import torch

from cimnet.checkpoint import checkpoint_file
from cimnet.deploy.export.onnx_file import to_onnx
from cimnet.deploy.export.parity import Parity, compare, require
from cimnet.errors import ConfigError
from cimnet.inference import Predictor, load
from cimnet.inference.backends.details import Details, Precision, to_metadata
from cimnet.inference.backends.openvino_file import save_openvino
from cimnet.inference.backends.runtime import ExportedModel, load_exported
from cimnet.inference.backends.trace import TILE, trace
from cimnet.models import RGBTModel
from cimnet.ops.deformable import Implementation
from cimnet.utils.files import hidden_folder, refuse_inputs_as_outputs, require_writable_file

Format = Literal["onnx", "openvino", "pt2"]
Deformable = Literal["operator", "grid-sample"]
SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "openvino": ".xml", "pt2": ".pt2"}


def export(
    source: str | Path | Predictor,
    out: str | Path,
    format: Format = "onnx",
    *,
    argmax: bool = False,
    normalization: bool = True,
    precision: Precision = "float32",
    calibration: str | Path | None = None,
    deformable: Deformable = "operator",
    trust: bool = False,
) -> Parity:
    """Write a model for another runtime; it takes any batch and any size. The file comes into being only if it gives
    the same classes as the model.

    Args:
        source: what :func:`cimnet.load` opens (a checkpoint, not an exported file), or a predictor.
        out: ``.onnx``, ``.xml`` for OpenVINO (a ``.bin`` goes beside it), ``.pt2`` for torch.export.
        argmax: class ids (B, H, W) int64 come out instead of logits (B, K, H, W) float32.
        normalization: inside; images (B, 3, H, W) and (B, 1, H, W) in 0..1 go in. False: normalised ones.
        precision: ``bfloat16`` is a wish to the runtime, OpenVINO only; ``int8``, not for .pt2, needs ``calibration``.
        calibration: folder of a data set; some pairs of its training split set the ranges for int8.
        deformable: how ONNX writes deformable convolutions: as one ``DeformConv``, or with ``GridSample``, for runtimes
            that lack the former (TensorRT).
        trust: of the source, see :func:`cimnet.load`.

    Returns:
        How far the file is from the model, on a random pair; at reduced precision this is only told, not enforced.

    Raises:
        ConfigError: an option that the format has not, a missing extra, a model that it cannot express, or ``out`` is
            the source.
        CheckpointError: the source cannot be used, or the file would do something else than the model.
        CimnetError: ``out`` cannot be written, or another process writes it.
    """
    out = Path(out)
    _check(out, format, precision, calibration)
    if deformable not in get_args(Deformable):
        raise ConfigError(f"deformable is '{deformable}', choose {' or '.join(get_args(Deformable))}")
    if deformable == "grid-sample" and format != "onnx":
        raise ConfigError(f"deformable grid-sample is for --format onnx; {format} has the operator, leave it out")
    if not isinstance(source, Predictor):
        written = [out, out.with_suffix(".bin")] if format == "openvino" else [out]
        refuse_inputs_as_outputs(written, [checkpoint_file(source)])
    predictor = source if isinstance(source, Predictor) else load(source, "cpu", trust=trust)
    model = copy.deepcopy(predictor.network).cpu().to(memory_format=torch.contiguous_format)
    if not normalization and model.thermal_mean.numel() > 1:
        raise ConfigError(
            "no-normalization: this network takes the thermal image as three channels of different statistics, so the "
            "file has to normalise; leave the option out"
        )
    model.stride = max(model.stride, TILE)  # the graph's images are whole tiles
    details = Details.of(model, argmax, normalization, precision)
    with hidden_folder(out) as folder:
        file = folder / out.name
        _write(file, model, predictor, details, format, calibration, deformable)
        exported, _ = load_exported(file, trust=True)
        assert isinstance(exported, ExportedModel)
        parity = compare(model, exported)
        if precision == "float32":
            require(parity)
        _publish(folder, out)
    return parity


def _check(out: Path, format: Format, precision: str, calibration: str | Path | None) -> None:
    if format not in get_args(Format):
        raise ConfigError(f"format is '{format}', choose {', '.join(get_args(Format))}")
    suffix = SUFFIXES[format]
    if out.suffix != suffix:
        raise ConfigError(f"{out}: the name of an export to {format} ends in {suffix}")
    if precision not in get_args(Precision):
        raise ConfigError(f"precision is '{precision}', choose {', '.join(get_args(Precision))}")
    if precision == "bfloat16" and format != "openvino":
        raise ConfigError("precision bfloat16 is for --format openvino; other runtimes choose it when they run")
    if precision == "int8" and (format == "pt2" or calibration is None):
        raise ConfigError("int8 is for ONNX and OpenVINO and needs --calibration, the folder of a data set")
    if precision != "int8" and calibration is not None:
        raise ConfigError("--calibration is for int8; leave it out or add --int8")
    require_writable_file(out)


def _write(
    file: Path,
    model: RGBTModel,
    predictor: Predictor,
    details: Details,
    format: Format,
    calibration: str | Path | None,
    deformable: Deformable,
) -> None:
    metadata = to_metadata(predictor.info, details)
    if format == "pt2":
        content = io.BytesIO()  # torch's own writer ends the process when the disk is full
        torch.export.save(trace(model, details.normalization), content, extra_files=metadata)
        file.write_bytes(content.getbuffer())
        return
    target = file.with_suffix(".onnx")
    implementation: Implementation = "grid_sample" if deformable == "grid-sample" else "torchvision"
    target.write_bytes(to_onnx(model, details, metadata, implementation).SerializeToString())
    if calibration is not None:  # int8, _check saw to it
        from cimnet.deploy.export.quantize import quantize

        quantize(target, predictor, Path(calibration), details)
    if format == "openvino":
        save_openvino(target, file, metadata)
        target.unlink()


def _publish(folder: Path, out: Path) -> None:
    """Rename what was written. Of a pair, the old .xml goes first and the new one comes last: an .xml never stands
    beside weights of another model."""
    weights = folder / f"{out.stem}.bin"
    if weights.exists():
        out.unlink(missing_ok=True)
        weights.replace(out.with_suffix(".bin"))
    (folder / out.name).replace(out)
