"""A model repository for NVIDIA's Triton Inference Server: the exported file, its configuration, names of classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from cimnet.deploy.export.onnx_frame import output_name
from cimnet.deploy.export.onnx_options import Deformable
from cimnet.deploy.export.parity import Parity
from cimnet.deploy.export.write import SUFFIXES, export
from cimnet.errors import CimnetError, ConfigError
from cimnet.inference import Predictor, load
from cimnet.utils.files import hidden_folder

TritonFormat = Literal["onnx", "openvino"]
BACKENDS: dict[TritonFormat, str] = {"onnx": "onnxruntime", "openvino": "openvino"}
LARGEST_BATCH = 8
"""Pairs in a pass, at most; `config.pbtxt` can be edited."""
_FILES = {"model.onnx", "model.xml", "model.bin"}
DELAY = 2000
"""Microseconds that a request waits for others of its size."""

CONFIG = """\
# Written by cimnet. instance_group, which says how many copies run on which device, is left to Triton.
name: {name}
backend: {backend}
default_model_filename: {file}
max_batch_size: {largest}
input [
  {{ name: "rgb", data_type: TYPE_FP32, dims: [ {batch}3, {height}, {width} ] }},
  {{ name: "thermal", data_type: TYPE_FP32, dims: [ {batch}{thermal_channels}, {height}, {width} ] }}
]
output [
  {{ name: {output}, data_type: {type}, dims: [ {batch}{classes}{height}, {width} ], label_filename: "labels.txt" }}
]
"""

BATCHING = """\
dynamic_batching {{
  preferred_batch_size: [ {half}, {largest} ]
  max_queue_delay_microseconds: {delay}
}}
"""


def export_triton(
    source: str | Path | Predictor,
    folder: str | Path,
    format: TritonFormat = "onnx",
    *,
    argmax: bool = False,
    deformable: Deformable | None = None,
    size: tuple[int, int] | None = None,
    batch: int | None = None,
    trust: bool = False,
    **options: Any,
) -> tuple[Path, Parity]:
    """Write ``FOLDER/NAME/1/model.onnx`` (or ``.xml`` and ``.bin``), ``config.pbtxt`` and ``labels.txt``; NAME is the
    model's, such as ``cimnet_resnet101``. What is there already under these names is replaced.

    Args:
        source, argmax, size, batch, trust, options: as of :func:`cimnet.deploy.export.export`.
        deformable: likewise, but for ONNX ``grid-sample`` by default: the ONNX Runtime of a Triton may be too old for
            ``DeformConv``.

    Returns:
        The folder FOLDER/NAME, and how far the file is from the model.

    Raises:
        ConfigError, CheckpointError, CimnetError: as of :func:`cimnet.deploy.export.export`; Triton has no backend for
            the format.
    """
    if format not in BACKENDS:
        raise ConfigError(f"Triton has no backend for format {format}; choose {' or '.join(BACKENDS)}")
    if format == "onnx":
        deformable = deformable or "grid-sample"
    predictor = source if isinstance(source, Predictor) else load(source, "cpu", trust=trust)
    target = Path(folder) / predictor.info.name
    with hidden_folder(target) as part:
        (part / "1").mkdir()
        file = part / "1" / f"model{SUFFIXES[format]}"
        try:
            parity = export(
                predictor, file, format, argmax=argmax, deformable=deformable, size=size, batch=batch, **options
            )
        except CimnetError as error:  # the user knows the file by its coming name
            error.args = (str(error).replace(str(part), str(target)), *error.args[1:])
            raise
        config = configuration(
            target.name,
            format,
            len(predictor.classes),
            argmax=argmax,
            size=size,
            batch=batch,
            thermal_channels=predictor.info.second.channels,
        )
        (part / "labels.txt").write_text("".join(f"{name}\n" for name in predictor.classes), encoding="utf-8")
        (part / "config.pbtxt").write_text(config, encoding="utf-8")
        _publish(part, target)
    return target, parity


def configuration(
    name: str,
    format: TritonFormat,
    classes: int,
    *,
    argmax: bool,
    size: tuple[int, int] | None,
    batch: int | None,
    thermal_channels: int = 1,
) -> str:
    """The text of ``config.pbtxt``. A file of one fixed batch is run as it is; else requests of one size that wait are
    joined."""
    height, width = size or (-1, -1)
    text = CONFIG.format(
        name=json.dumps(name),
        backend=json.dumps(BACKENDS[format]),
        file=json.dumps(f"model{SUFFIXES[format]}"),
        largest=LARGEST_BATCH if batch is None else 0,
        batch="" if batch is None else f"{batch}, ",
        thermal_channels=thermal_channels,
        height=height,
        width=width,
        output=json.dumps(output_name(argmax)),
        type="TYPE_INT64" if argmax else "TYPE_FP32",
        classes="" if argmax else f"{classes}, ",
    )
    if batch is not None:
        return text
    return text + BATCHING.format(half=LARGEST_BATCH // 2, largest=LARGEST_BATCH, delay=DELAY)


def _publish(part: Path, target: Path) -> None:
    """Move what was written to its place, the configuration last."""
    if not target.exists():
        part.replace(target)
        return
    (target / "1").mkdir(exist_ok=True)
    written = {path.name for path in (part / "1").iterdir()}
    for file in sorted((part / "1").iterdir(), key=lambda path: path.suffix == ".xml"):
        file.replace(target / "1" / file.name)
    for name in ("labels.txt", "config.pbtxt"):
        (part / name).replace(target / name)
    for name in _FILES - written:  # of an export in the other format
        (target / "1" / name).unlink(missing_ok=True)
