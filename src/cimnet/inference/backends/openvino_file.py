"""OpenVINO: the ONNX graph read by OpenVINO, saved as a pair of files; and the file made ready to run."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cimnet.errors import ConfigError, one_line
from cimnet.utils.extras import require
from cimnet.utils.numbers import pluralize

FIRST_STAGE = "/stages.0/"


def import_openvino(extra: str, what: str) -> Any:
    """The module `openvino`, without its telemetry: importing it would send an event to a server of Google's. Arguments
    and errors as of :func:`cimnet.utils.extras.require`."""
    if "openvino" not in sys.modules:  # else the choice was made elsewhere
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: cannot be imported
    return require("openvino", extra, what)


def save_openvino(onnx_file: Path, out: Path, metadata: dict[str, str]) -> None:
    """Write ``out`` (.xml) and its .bin with 32-bit weights.

    Raises:
        ConfigError: without the extra ``openvino``, or if an operator has no form there.
        OSError: the files cannot be written.
    """
    openvino = import_openvino("openvino,export", "OpenVINO")
    core = openvino.Core()
    core.add_extension(_deform_conv_extension())
    try:
        model = core.read_model(onnx_file)
        for key, text in metadata.items():
            model.set_rt_info(text, key)
    except RuntimeError as error:
        raise ConfigError(f"this model has no form in OpenVINO: {one_line(error)}") from error
    try:
        openvino.save_model(model, out, compress_to_fp16=False)
    except RuntimeError as error:  # it has read the model, so it is the disk
        raise OSError(errno.EIO, f"OpenVINO: {one_line(error)}") from error


def compile_openvino(core: Any, model: Any, bfloat16: bool) -> Callable[[list[npt.NDArray[np.float32]]], Any]:
    """A model of two inputs made ready for the CPU; gives what its first output is.

    In bfloat16 the encoders' first stages, and what leads to them, stay in float32 (see
    :class:`cimnet.models.staged_encoder.FirstStage`). OpenVINO has no such mark, so the graph is cut there in two; the
    second part asks once more which images are there.

    Raises:
        RuntimeError: if OpenVINO cannot compile it, or it is not a model of this package.
    """
    if not bfloat16:
        whole = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return lambda images: whole(images)[0]
    first, rest = (
        core.compile_model(part, "CPU", {"INFERENCE_PRECISION_HINT": hint})
        for part, hint in zip(_cut(model), ("f32", "bf16"), strict=True)
    )

    def run(images: list[npt.NDArray[np.float32]]) -> Any:
        maps = first(images)
        return rest([*images, *(maps[k] for k in range(len(first.outputs)))])[0]

    return run


def _cut(model: Any) -> tuple[Any, Any]:
    """The graph up to the outputs of the encoders' first stages, and the graph from there on: that takes them after its
    own inputs. The second is made out of ``model``."""
    openvino = import_openvino("openvino", "OpenVINO")
    from openvino import opset8

    def name(node: Any) -> str:
        return str(node.get_friendly_name())  # operators bear the names of the modules they are of

    def inside(node: Any) -> bool:
        return FIRST_STAGE in name(node)

    def leads_out(output: Any) -> bool:
        after = [target.get_node() for target in output.get_target_inputs()]
        return any(name(node).startswith("/model/") and not inside(node) for node in after)

    inner = [node for node in model.get_ordered_ops() if inside(node) and node.get_type_name() != "Constant"]
    borders = [output for node in inner for output in node.outputs() if leads_out(output)]
    if len(borders) not in (1, 2) or any(output.get_element_type() != openvino.Type.f32 for output in borders):
        raise RuntimeError(f"{pluralize(len(borders), 'map')} leave the encoders' first stages, expected one or two")
    inputs = model.get_parameters()
    first = openvino.Model(borders, inputs, "first").clone()
    entries = [opset8.parameter(output.get_partial_shape(), np.float32) for output in borders]
    for output, entry in zip(borders, entries, strict=True):
        for target in output.get_target_inputs():
            target.replace_source_output(entry.output(0))
    return first, openvino.Model(model.get_results(), [*inputs, *entries], "rest")


def _deform_conv_extension() -> Any:
    """ONNX's DeformConv as OpenVINO's DeformableConvolution: same order of offsets and taps."""
    from openvino import opset8
    from openvino.frontend.onnx import ConversionExtension

    def convert(node: Any) -> list[Any]:
        inputs = [node.get_input(k) for k in range(node.get_input_size())]
        data, weight, offset = inputs[:3]
        strides, pads, dilations = (node.get_attribute(name) for name in ("strides", "pads", "dilations"))
        mask = inputs[4] if len(inputs) > 4 else None
        found = opset8.deformable_convolution(
            data, offset, weight, strides, pads[:2], pads[2:], dilations, mask, bilinear_interpolation_pad=True
        )
        if len(inputs) > 3:
            found = opset8.add(found, opset8.reshape(inputs[3], [1, -1, 1, 1], False))
        return found.outputs()

    return ConversionExtension("DeformConv", convert)
