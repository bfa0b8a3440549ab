"""Export: trace, convert, compare with the model, and only then give the file its name."""

from __future__ import annotations

import copy
import io
from pathlib import Path
from typing import Literal, get_args

import torch

from cimnet.checkpoint import checkpoint_file
from cimnet.data.io.open_image import MAX_PIXELS
from cimnet.deploy.export import tensorrt
from cimnet.deploy.export.float16 import to_float16
from cimnet.deploy.export.onnx_file import to_onnx
from cimnet.deploy.export.onnx_fold import fold
from cimnet.deploy.export.onnx_options import Deformable, OnnxOptions, Target
from cimnet.deploy.export.parity import Parity, compare, require
from cimnet.errors import ConfigError
from cimnet.inference import Predictor, load
from cimnet.inference.backends.details import Details, Precision, to_metadata
from cimnet.inference.backends.openvino_file import save_openvino
from cimnet.inference.backends.runtime import ExportedModel, load_exported
from cimnet.inference.backends.trace import SMALLEST_TILE, trace
from cimnet.models import RGBTModel
from cimnet.utils.files import hidden_folder, refuse_inputs_as_outputs, require_writable_file
from cimnet.weights.locate import locate

Format = Literal["onnx", "openvino", "pt2"]
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
    target: Target = "any",
    deformable: Deformable | None = None,
    opset: int | None = None,
    size: tuple[int, int] | None = None,
    batch: int | None = None,
    trust: bool = False,
) -> Parity:
    """Write a model for another runtime. The file is written only if it predicts the same classes as the model.

    Args:
        source: what :func:`cimnet.load` opens (not an exported file), or a predictor.
        out: file to write: ``.onnx``; ``.xml`` for OpenVINO, with a ``.bin`` beside it; ``.pt2`` for torch.export.
        format: "onnx", "openvino" or "pt2"; it must fit the ending of ``out``.
        argmax: whether the file gives class ids (B, H, W) int64 instead of logits (B, K, H, W) float32.
        normalization: whether the file normalises its inputs, images (B, 3, H, W) and (B, C, H, W) in 0..1, where C is
            the number of channels of the second image. False: you give it normalised images.
        precision: "float32"; "float16", ONNX only: weights and features, while images and logits stay float32;
            "bfloat16", OpenVINO only: a wish that the runtime may follow; "int8", not for ``.pt2``: needs
            ``calibration``.
        calibration: folder of a data set; some pairs of its training split set the ranges for int8.
        target: "any", or for ONNX "tensorrt": use the operators that TensorRT has.
        deformable: how ONNX writes deformable convolutions: as one "operator" (``DeformConv``), or by "grid-sample",
            for runtimes without it. None: whatever the target has.
        opset: version of ONNX's operators, 16 to 20. None: 20, for TensorRT 17.
        size: (height, width) in pixels: the only size that the file takes. None: any size; multiples of 32 where the
            format is ``.pt2`` and the model is a published network that pads less (CMX, CMNeXt, Sigma, RTFNet, FEANet).
        batch: the only number of pairs that the file takes. None: any number.
        trust: as in :func:`cimnet.load`.

    Returns:
        How far the file is from the model on a random pair. At reduced precision this is reported and not enforced.

    Raises:
        ConfigError: the format does not have an option, an extra is missing, the model cannot be expressed, or ``out``
            is the source.
        CheckpointError: the source cannot be used, or the file would predict something else than the model.
        CimnetError: ``out`` cannot be written, or another process writes it.
    """
    out = Path(out)
    _check(out, format, precision, calibration)
    options = OnnxOptions.of(target, deformable, opset)
    _check_options(options, format, precision, opset)
    _check_fixed(size, batch)
    if not isinstance(source, Predictor):
        written = [out, out.with_suffix(".bin")] if format == "openvino" else [out]
        source = locate(source)
        refuse_inputs_as_outputs(written, [checkpoint_file(source)])
    predictor = source if isinstance(source, Predictor) else load(source, "cpu", trust=trust)
    model = copy.deepcopy(predictor.network).eval().cpu().to(memory_format=torch.contiguous_format)
    if not normalization and model.thermal_mean.numel() != model.thermal_channels:
        raise ConfigError(
            "no-normalization: this network takes the thermal image as three channels of different statistics, so the "
            "file has to normalise; leave the option out"
        )
    smallest_tile = SMALLEST_TILE if format == "pt2" else 1
    details = Details.of(model, argmax, normalization, precision, size, batch, smallest_tile)
    with hidden_folder(out) as folder:
        file = folder / out.name
        _write(file, model, predictor, details, format, calibration, options)
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
    if precision == "float16" and format != "onnx":
        raise ConfigError(f"precision float16 is for --format onnx, not {format}; other runtimes choose it themselves")
    if precision == "bfloat16" and format != "openvino":
        raise ConfigError("precision bfloat16 is for --format openvino; other runtimes choose it when they run")
    if precision == "int8" and (format == "pt2" or calibration is None):
        raise ConfigError("int8 is for ONNX and OpenVINO and needs --calibration, the folder of a data set")
    if precision != "int8" and calibration is not None:
        raise ConfigError("--calibration is for int8; leave it out or add --int8")
    require_writable_file(out)


def _check_options(options: OnnxOptions, format: Format, precision: str, opset: int | None) -> None:
    """Refuse what the format or the precision has not."""
    if options.tensorrt and format != "onnx":
        raise ConfigError(f"--for tensorrt is for --format onnx, which TensorRT reads; {format} it does not")
    if options.tensorrt and precision == "int8":
        raise ConfigError("--int8 gives zero points that TensorRT lacks; quantise the float32 file with its own tools")
    if options.deformable == "grid-sample" and format != "onnx":
        raise ConfigError(f"deformable grid-sample is for --format onnx; {format} has the operator, leave it out")
    if opset is not None and format != "onnx":
        raise ConfigError(f"--opset is for --format onnx, not {format}; leave it out")


def _check_fixed(size: tuple[int, int] | None, batch: int | None) -> None:
    """Refuse a size and a batch that no file can have."""
    if size is not None and min(size) < 1:
        raise ConfigError(f"size is {size[0]}x{size[1]}, both must be at least 1")
    if batch is not None and batch < 1:
        raise ConfigError(f"batch is {batch}, it must be at least 1")
    height, width = size or (1, 1)
    if height * width * (batch or 1) > MAX_PIXELS:
        raise ConfigError(
            f"size {height}x{width}, batch {batch or 'of any number'}: more than {MAX_PIXELS:,} pixels in a pass; "
            "choose less, larger images are run in windows"
        )


def _write(
    file: Path,
    model: RGBTModel,
    predictor: Predictor,
    details: Details,
    format: Format,
    calibration: str | Path | None,
    options: OnnxOptions,
) -> None:
    metadata = to_metadata(predictor.info, details)
    if format == "pt2":
        content = io.BytesIO()  # torch's own writer ends the process when the disk is full
        torch.export.save(trace(model, details), content, extra_files=metadata)
        file.write_bytes(content.getbuffer())
        return
    target = file.with_suffix(".onnx")
    graph = to_onnx(model, details, metadata, options)
    if details.size is not None and format == "onnx":  # OpenVINO does it by itself
        graph = fold(graph, file.parent)
    if details.precision == "float16":
        graph = to_float16(graph)
    if options.tensorrt:
        tensorrt.check(graph)
    target.write_bytes(graph.SerializeToString())
    if calibration is not None:  # int8, _check saw to it
        from cimnet.deploy.export.quantize import quantize

        quantize(target, predictor, Path(calibration), details, openvino=format == "openvino")
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
