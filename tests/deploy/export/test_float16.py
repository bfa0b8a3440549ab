"""ONNX in float16: what goes there, what keeps float32, and how many pixels change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cimnet.deploy.export.float16 import to_float16
from cimnet.deploy.export.write import export
from tests.conftest import Trained

from .conftest import FLOAT, HALF, open_exported, tensor_types, untrained


@pytest.mark.export
def test_weights_are_halved_and_positions_are_not(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    predictor = untrained("cimnet_efficientnet_lite0", explicit_alignment=True)
    parity = export(predictor, tmp_path / "half.onnx", precision="float16", target="tensorrt")
    assert parity.error is not None
    assert 1e-6 < parity.error < 0.01  # not float32, and not far from it
    model = onnx.load(tmp_path / "half.onnx")
    types, nodes = tensor_types(model), model.graph.node
    convolutions = [node for node in nodes if node.op_type == "Conv"]
    halved = [node for node in convolutions if types[node.input[1]] == HALF]
    assert len(halved) > 0.7 * len(convolutions)
    for node in nodes:
        if node.op_type in ("GridSample", "LayerNormalization", "BatchNormalization", "Softmax", "ReduceMean"):
            assert {types[name] for name in node.input if types.get(name) in (FLOAT, HALF)} == {FLOAT}, node.name
        if any(part in node.name for part in ("/alignment/", "/offset")):
            assert HALF not in {types[name] for name in node.output}, node.name
    assert [types[value.name] for value in (*model.graph.input, *model.graph.output)] == [FLOAT] * 3
    assert open_exported(tmp_path / "half.onnx").details.precision == "float16"


@pytest.mark.export
def test_nothing_is_narrowed_between_two_operators_in_float32(tmp_path: Path) -> None:
    """What ONNX Runtime's own converter does: float32, float16, float32 from one such operator to the next."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    export(untrained("cimnet_mit_b0"), tmp_path / "half.onnx", precision="float16", deformable="grid-sample")
    model = onnx.load(tmp_path / "half.onnx")
    types = tensor_types(model)
    narrowed = {node.output[0] for node in model.graph.node if _casts(node, types, FLOAT, HALF)}
    assert narrowed
    widened = {node.input[0] for node in model.graph.node if _casts(node, types, HALF, FLOAT)}
    assert not narrowed & widened


def _casts(node: Any, types: dict[str, int], before: int, after: int) -> bool:
    return node.op_type == "Cast" and types[node.input[0]] == before and types[node.output[0]] == after


@pytest.mark.export
def test_a_trained_model_keeps_its_pixels(trained: Trained, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    assert export(trained.best, tmp_path / "half.onnx", precision="float16", target="tensorrt").equal >= 0.99


def test_numbers_beyond_float16_become_its_largest() -> None:
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weight = onnx.numpy_helper.from_array(np.array([[1e6, 0.0], [0.0, 1.0]], np.float32), "weight")
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["a"], "first"),
        helper.make_node("Relu", ["a"], ["b"], "between"),
        helper.make_node("MatMul", ["b", "weight"], ["c"], "second"),
        helper.make_node("Relu", ["c"], ["y"], "last"),
    ]
    described = [helper.make_tensor_value_info(name, kind, [1, 2]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "two_products", described[:1], described[1:], [weight])
    model = to_float16(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9))
    (halved,) = model.graph.initializer
    assert onnx.numpy_helper.to_array(halved).tolist() == [[65504.0, 0.0], [0.0, 1.0]]
    types = tensor_types(model)
    assert types["b"] == HALF
    assert types["y"] == FLOAT
