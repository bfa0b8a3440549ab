"""OpenVINO: the ONNX graph read by OpenVINO, saved as a pair of files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cimnet.errors import ConfigError
from cimnet.export.trace import first_line


def save_openvino(onnx_file: Path, out: Path, metadata: dict[str, str]) -> None:
    """Write ``out`` (.xml) and its .bin with 32-bit weights.

    Raises:
        ConfigError: without the extra ``openvino``, or if an operator has no form there.
    """
    try:
        import openvino
    except ImportError as error:
        raise ConfigError("OpenVINO needs the extra openvino: pip install 'cimnet[openvino,export]'") from error
    core = openvino.Core()
    core.add_extension(_deform_conv_extension())
    try:
        model = core.read_model(onnx_file)
        for key, text in metadata.items():
            model.set_rt_info(text, key)
        openvino.save_model(model, out, compress_to_fp16=False)
    except RuntimeError as error:
        raise ConfigError(f"this model has no form in OpenVINO: {first_line(error)}") from error


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
