"""An ONNX graph in float16 with its types written out, as TensorRT 11 asks for; what needs float32 keeps it.

ONNX Runtime's converter is not used: where two operators that stay in float32 follow each other, it narrows what goes
from one to the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cimnet.deploy.export.sensitive_parts import is_sensitive

WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
HALVED = WEIGHTED | {
    *("Add", "Clip", "Concat", "Div", "Elu", "Erf", "Expand", "Flatten", "Gather", "Gelu", "HardSigmoid", "HardSwish"),
    *("Identity", "LeakyRelu", "Max", "MaxPool", "Min", "Mul", "Neg", "PRelu", "Pad", "Relu", "Reshape", "Resize"),
    *("Sigmoid", "Slice", "Split", "Squeeze", "Sub", "Tanh", "Tile", "Transpose", "Unsqueeze", "Where"),
}
"""Operators that go to float16. Others, such as normalisations, softmax, means and sums, keep float32."""
EXACT_INPUTS = {"Resize": (1, 2, 3)}
"""Inputs that are float32 by the definition of the operator."""
FLOAT, HALF = 1, 10


def to_float16(model: Any) -> Any:
    """The ``onnx.ModelProto`` with weights and features in float16. Images and logits stay float32, and so does what
    lies before the first layer with weights, whatever decides where is sampled, and the sensitive parts."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(model).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    floats = {value.name for value in values if value.type.tensor_type.elem_type == FLOAT}
    constants = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == FLOAT}
    constants |= {
        node.output[0]: node.attribute[0].t
        for node in graph.node
        if node.op_type == "Constant" and node.attribute[0].name == "value" and node.attribute[0].t.data_type == FLOAT
    }
    halved = _choose(graph)
    converted = onnx.ModelProto()
    converted.CopyFrom(model)
    del converted.graph.node[:], converted.graph.value_info[:]
    half = {name for node in graph.node if node.output[0] in halved for name in node.output if name in floats}
    made: set[str] = set()

    def as_type(name: str, type_: int) -> str:
        """The name of a tensor in a type, after what gives it was added to the graph."""
        if name in constants:
            if type_ == FLOAT:
                return name
        elif name not in floats or (type_ == HALF) == (name in half):
            return name
        new = f"{name}/float{16 if type_ == HALF else 32}"
        if new not in made:
            made.add(new)
            if name in constants:
                converted.graph.initializer.append(_narrow(constants[name], new))
            else:
                converted.graph.node.append(onnx.helper.make_node("Cast", [name], [new], f"{new}/Cast", to=type_))
        return new

    for node in graph.node:
        kind, exact = HALF if node.output[0] in halved else FLOAT, EXACT_INPUTS.get(node.op_type, ())
        if node.op_type != "Shape":
            for place, name in enumerate(node.input):
                node.input[place] = as_type(name, FLOAT if place in exact else kind)
        converted.graph.node.append(node)
    _drop_unused(converted.graph)
    onnx.checker.check_model(converted, full_check=True)
    return converted


def _choose(graph: Any) -> set[str]:
    """The nodes that go to float16, each by the name of its first output."""
    exact = _where_sampled(graph)
    inner = {node.output[0] for node in graph.node if node.op_type in WEIGHTED and not is_sensitive(node)}
    behind: set[str] = set()  # tensors with such a layer before them
    for node in graph.node:  # sorted: what a node takes was made before it
        if node.output[0] in inner or not behind.isdisjoint(node.input):
            behind.update(node.output)
    leading: set[str] = set()  # tensors that go into such a layer, at once or later
    halved = set()
    for node in reversed(graph.node):
        first = node.output[0]
        if first in inner or not leading.isdisjoint(node.output):
            leading.update(node.input)
            if first in behind and first not in exact and node.op_type in HALVED and not is_sensitive(node):
                halved.add(first)
    return halved


def _where_sampled(graph: Any) -> set[str]:
    """The nodes that compute where ``GridSample`` and ``DeformConv`` look, up to the layer that guesses it, each by the
    name of its first output."""
    maker = {name: node for node in graph.node for name in node.output}
    places = {"GridSample": 1, "DeformConv": 2}
    waiting = [node.input[places[node.op_type]] for node in graph.node if node.op_type in places]
    found: set[str] = set()
    while waiting:
        node = maker.get(waiting.pop())
        if node is not None and node.output[0] not in found:
            found.add(node.output[0])
            if node.op_type not in WEIGHTED:
                waiting += node.input
    return found


def _narrow(tensor: Any, name: str) -> Any:
    """A float32 tensor in float16; what is too large for it becomes its largest number."""
    from onnx import numpy_helper

    largest = float(np.finfo(np.float16).max)
    return numpy_helper.from_array(numpy_helper.to_array(tensor).clip(-largest, largest).astype(np.float16), name)


def _drop_unused(graph: Any) -> None:
    """Leave out constants that were read in float32 alone."""
    used = {name for node in graph.node for name in node.input}
    nodes = [node for node in graph.node if node.op_type != "Constant" or node.output[0] in used]
    initializers = [tensor for tensor in graph.initializer if tensor.name in used]
    for items, kept in ((graph.node, nodes), (graph.initializer, initializers)):
        del items[:]
        items.extend(kept)
