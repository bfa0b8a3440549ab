"""The selective scan in ONNX: the operator's values in each runtime, at lengths that were not traced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cimnet.checkpoint import ModelInfo
from cimnet.deploy.export import write
from cimnet.deploy.export.onnx_options import OPSET
from cimnet.deploy.export.onnx_scan import BLOCK, DOMAIN, NAME, write_scans
from cimnet.deploy.export.parity import compare
from cimnet.deploy.export.write import SUFFIXES, Format, export
from cimnet.errors import ConfigError
from cimnet.inference import Predictor
from cimnet.models.zoo.sigma import Sigma
from cimnet.ops.blocked_scan import scan

pytestmark = pytest.mark.export
SIZES = {"groups": 3, "rows": 5, "states": 4}
SHAPES = {
    "u": ("length", "batch", "groups", "rows"),
    "delta": ("length", "batch", "groups", "rows"),
    "A": ("groups", "states", "rows"),
    "B": ("length", "batch", "groups", "states"),
    "C": ("length", "batch", "groups", "states"),
    "D": ("groups", "rows"),
    "delta_bias": ("groups", "rows"),
}


@pytest.fixture(scope="module")
def model() -> Any:
    """A model of one scan, length and batch free."""
    return _one_scan(OPSET)


def _one_scan(opset: int) -> Any:
    onnx = pytest.importorskip("onnx")
    kind = onnx.TensorProto.FLOAT
    described = [
        onnx.helper.make_tensor_value_info(name, kind, [SIZES.get(size, size) for size in shape])
        for name, shape in SHAPES.items()
    ]
    y = onnx.helper.make_tensor_value_info("y", kind, ["length", "batch", SIZES["groups"], SIZES["rows"]])
    node = onnx.helper.make_node(NAME, list(SHAPES), ["y"], domain=DOMAIN)
    versions = [onnx.helper.make_opsetid("", opset), onnx.helper.make_opsetid(DOMAIN, 1)]
    graph = onnx.helper.make_graph([node], "one_scan", described, [y])
    return write_scans(onnx.helper.make_model(graph, opset_imports=versions, ir_version=9), opset)


def _inputs(length: int, batch: int) -> dict[str, Tensor]:
    sizes = {**SIZES, "length": length, "batch": batch}
    values = {name: torch.randn([sizes[size] for size in shape]) for name, shape in SHAPES.items()}
    return {**values, "A": -values["A"].abs()}


def test_an_opset_that_is_too_old_is_refused() -> None:
    with pytest.raises(ConfigError, match="opset 17 cannot write this model's selective scan; choose --opset 18 or"):
        _one_scan(17)


def test_only_standard_operators_remain(model: Any) -> None:
    onnx = pytest.importorskip("onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [entry.domain for entry in model.opset_import] == [""]
    assert not model.functions
    assert "Scan" in {node.op_type for node in model.graph.node}


LENGTHS = [(1, 2), (BLOCK - 1, 1), (BLOCK, 2), (BLOCK + 1, 3), (100, 1)]


def test_onnx_runtime(model: Any) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for length, batch in LENGTHS:
        given = _inputs(length, batch)
        [found] = session.run(None, {name: x.numpy() for name, x in given.items()})
        torch.testing.assert_close(torch.from_numpy(found), scan(*given.values()), rtol=1e-4, atol=1e-4)


def test_openvino(model: Any) -> None:
    openvino = pytest.importorskip("openvino")
    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(model=model.SerializeToString()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    for length, batch in LENGTHS:
        given = _inputs(length, batch)
        found = torch.from_numpy(compiled([x.numpy() for x in given.values()])[0].copy())
        torch.testing.assert_close(found, scan(*given.values()), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "openvino", "pt2"])
def test_a_network_of_scans(format: Format, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a batch and a size that were not traced, opened again as users do. The size is one of whole tiles: the graph
    pads all others, which the network does not."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("openvino")
    monkeypatch.setattr(write, "compare", lambda model, exported: compare(model, exported, (3, 96, 64)))
    torch.manual_seed(0)
    network, classes = Sigma(4, width=8, depths=(1, 1, 1, 1)).eval(), ("a", "b", "c", "d")
    info = ModelInfo("sigma_tiny", {}, classes, ((0, 0, 0),) * 4)
    found = export(Predictor(network, info, torch.device("cpu")), tmp_path / f"model{SUFFIXES[format]}", format)
    assert found.error is not None
    assert found.error < 1e-3
    assert found.equal >= 0.999
