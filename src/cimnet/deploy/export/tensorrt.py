"""Whether TensorRT can read a graph, by the list of operators that NVIDIA publishes. TensorRT itself is not needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from cimnet.errors import ConfigError

LIST = "tensorrt_operators.txt"
REMEDY = f"no such file can be made of this model; leave --for tensorrt out ({LIST})"
TYPES = {1: "FP32", 6: "INT32", 7: "INT64", 9: "BOOL", 10: "FP16"}
"""By number of ``onnx.TensorProto``."""
CONSTANT_INPUTS = {"Squeeze": 1, "Unsqueeze": 1, "CumSum": 1} | {
    f"Reduce{name}": 1 for name in ("L1", "L2", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
}
"""Which input has to be a constant: the axes."""
MODES = "linear", "nearest"
TRANSFORMATIONS = "half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"


class Operator(NamedTuple):
    """A line of the list: types of the data, and the oldest opset at which it may be used."""

    types: frozenset[str]
    opset: int


@cache
def operators() -> dict[str, Operator]:
    """The list, by name of the operator."""
    found = {}
    for line in files("cimnet.deploy.export").joinpath(LIST).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, *rest = line.split()
            types = frozenset(rest) & frozenset(TYPES.values())
            found[name] = Operator(types, int(rest[-1]) if rest[-1].isdecimal() else 0)
    return found


def check_operators(model: Any) -> None:
    """Look for operators alone: for a graph (``onnx.ModelProto``) in which some are not ONNX's.

    Raises:
        ConfigError: naming the operator and the module that it comes from.
    """
    opset = model.opset_import[0].version
    for node in model.graph.node:
        known = operators().get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if known is None or known.opset > opset:
            raise _refusal(node, "is not on TensorRT's list")


def check(model: Any) -> None:
    """Look for operators, types and the restrictions that TensorRT has, in an ``onnx.ModelProto``.

    Raises:
        ConfigError: naming the operator and the module that it comes from.
    """
    from onnx import shape_inference

    check_operators(model)
    inferred = shape_inference.infer_shapes(model).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*inferred.value_info, *inferred.input)}
    types |= {value.name: value.type.tensor_type.elem_type for value in inferred.output}
    types |= {tensor.name: tensor.data_type for tensor in inferred.initializer}
    constants = {tensor.name for tensor in inferred.initializer}
    constants |= {name for node in inferred.node if node.op_type == "Constant" for name in node.output}
    for node in inferred.node:
        data = _data_of(node)
        type_ = TYPES.get(types.get(data, 0), "of a type that it lacks")
        if type_ not in operators()[node.op_type].types:
            raise _refusal(node, f"has data {type_}, which TensorRT does not run")
        if any(types.get(name, 0) not in TYPES for name in node.output if name):
            raise _refusal(node, "gives data of a type that TensorRT lacks")
        for fault in _faults(node, constants):
            raise _refusal(node, fault)


def _data_of(node: Any) -> str:
    """The name of the tensor whose type NVIDIA's list speaks of."""
    if node.op_type in ("Constant", "ConstantOfShape"):
        return str(node.output[0])
    return str(node.input[1 if node.op_type == "Where" else 0])


def _faults(node: Any, constants: set[str]) -> Iterator[str]:
    """Yield each violation of TensorRT's restrictions on an operator of the list."""
    from onnx.helper import get_attribute_value

    attributes = {attribute.name: get_attribute_value(attribute) for attribute in node.attribute}
    place = CONSTANT_INPUTS.get(node.op_type)
    if place is not None and len(node.input) > place and node.input[place] not in {*constants, ""}:
        yield "has axes that are not constant"
    check_: Callable[[dict[str, Any], Any], str | None] | None = RESTRICTIONS.get(node.op_type)
    fault = check_ and check_(attributes, node)
    if fault:
        yield fault


def _resize(attributes: dict[str, Any], node: Any) -> str | None:
    if attributes.get("antialias"):
        return "smooths while it scales down (antialias)"
    if attributes.get("mode", b"nearest").decode() not in MODES:
        return f"has another mode than {' or '.join(MODES)}"
    if attributes.get("coordinate_transformation_mode", b"half_pixel").decode() not in TRANSFORMATIONS:
        return f"places pixels in another way than {', '.join(TRANSFORMATIONS)}"
    if attributes.get("keep_aspect_ratio_policy", b"stretch") != b"stretch":
        return "keeps the aspect ratio"
    return None


def _pool(attributes: dict[str, Any], node: Any) -> str | None:
    if len(node.output) > 1:
        return "gives indices"
    return "is dilated" if any(n != 1 for n in attributes.get("dilations", ())) else None


def _scatter(attributes: dict[str, Any], node: Any) -> str | None:
    return "reduces" if attributes.get("reduction", b"none") != b"none" else None


RESTRICTIONS: dict[str, Callable[[dict[str, Any], Any], str | None]] = {
    "Resize": _resize,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "ScatterND": _scatter,
    "LayerNormalization": lambda _, node: "gives more than one output" if len(node.output) > 1 else None,
}


def _refusal(node: Any, fault: str) -> ConfigError:
    module = ".".join(node.name.strip("/").split("/")[:-1]).removeprefix("model.")
    where = f" of {module}" if module else ""
    return ConfigError(f"TensorRT: the operator {node.op_type}{where} {fault}; {REMEDY}")
