"""Graphs for TensorRT: every operator on NVIDIA's list, the same pixels; what cannot be read there is refused."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cimnet.checkpoint import ModelInfo
from cimnet.deploy.export import tensorrt
from cimnet.deploy.export.onnx_operators import added_operators
from cimnet.deploy.export.onnx_options import OnnxOptions
from cimnet.deploy.export.parity import compare
from cimnet.deploy.export.write import export
from cimnet.errors import CheckpointError, ConfigError
from cimnet.inference import Predictor
from cimnet.models import create_model

from .conftest import ANY_SIZE, DOUBLE, FLOAT, PUBLISHED, open_exported, published, tensor_types, untrained

BASELINES = ("early_fusion", "addition", "parallel_rectification", "rgb_only", "thermal_only")
MODELS: list[tuple[str, dict[str, Any]]] = [
    ("cimnet_resnet101", {}),
    ("cimnet_mit_b2", {}),
    ("cimnet_efficientnet_lite0", {"explicit_alignment": True}),
    ("cimnet_efficientnet_lite0", {}),
    ("cimnetx_efficientnet_lite0", {}),
    *((f"{family}_efficientnet_lite0", {}) for family in BASELINES),
]
FORBIDDEN = {"DeformConv", "Loop", "If", "Scan", "NonZero", "TopK"}


def _grids(predictor: Predictor, out: Path) -> int:
    """Export to a graph of any batch and size, and hold it against NVIDIA's list; returns the number of GridSample."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    found = export(predictor, out, target="tensorrt")
    assert found.equal >= 0.9999
    model = onnx.load(out)
    used = {node.op_type for node in model.graph.node}
    assert used <= tensorrt.operators().keys()
    assert not used & FORBIDDEN
    types = tensor_types(model)
    assert DOUBLE not in types.values()
    grids = [types[node.input[1]] for node in model.graph.node if node.op_type == "GridSample"]
    assert grids == [FLOAT] * len(grids)
    assert model.opset_import[0].version == 17
    return len(grids)


@pytest.mark.export
@pytest.mark.parametrize(("name", "options"), MODELS)
def test_every_operator_is_on_the_list_and_no_pixel_changes(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    grids = _grids(untrained(name, **options), tmp_path / "model.onnx")
    assert bool(grids) == name.startswith("cimnet")


@pytest.mark.export
@pytest.mark.slow
@pytest.mark.parametrize("name", [*PUBLISHED, *ANY_SIZE])
def test_published_networks(name: str, tmp_path: Path) -> None:
    """The smallest of each family, at its own widths. Sigma is refused, see below."""
    assert not _grids(published(name), tmp_path / "model.onnx")


@pytest.mark.export
def test_one_size_and_one_batch(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    predictor, out = untrained("cimnet_efficientnet_lite0"), tmp_path / "model.onnx"
    found = export(predictor, out, target="tensorrt", size=(75, 96), batch=2, opset=16, argmax=True)
    assert found.equal >= 0.9999
    model = onnx.load(out)
    used = Counter(node.op_type for node in model.graph.node)
    assert used.keys() <= tensorrt.operators().keys()
    assert not used.keys() & {"Shape", "Range", "LayerNormalization", "ConstantOfShape"}
    sides = [
        [side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    ]
    assert sides == [[2, 3, 75, 96], [2, 1, 75, 96], [2, 75, 96]]
    exported = open_exported(out)
    assert compare(predictor.network, exported, (5, 75, 96), seed=1).equal >= 0.9999  # three passes
    with pytest.raises(CheckpointError, match=r"images of 75x96, these have 96x75; export it again without --size"):
        exported.predict(torch.rand(2, 3, 96, 75), torch.rand(2, 1, 96, 75))


@pytest.mark.export
def test_a_fixed_size_is_not_only_for_tensorrt(tmp_path: Path) -> None:
    """With a scale, too: the size inside is settled with the size outside."""
    pytest.importorskip("onnxruntime")
    predictor, out = untrained("addition_resnet18", input_scale=0.7), tmp_path / "model.onnx"
    assert export(predictor, out, size=(64, 90)).equal >= 0.999
    assert compare(predictor.network, open_exported(out), (1, 64, 90), seed=1).equal >= 0.999
    with pytest.raises(ConfigError, match=r"scales images by 0\.7 with antialiasing, which TensorRT lacks"):
        export(predictor, out, target="tensorrt")


@pytest.mark.export
@pytest.mark.slow
def test_a_selective_scan_is_refused_by_name(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    classes = ("a", "b")
    torch.manual_seed(0)
    model = create_model("small_sigma", 2)
    predictor = Predictor(model, ModelInfo("small_sigma", {}, classes, ((0, 0, 0),) * 2), torch.device("cpu"))
    with pytest.raises(ConfigError, match=r"TensorRT: the operator SelectiveScan of \w.* is not on TensorRT's list"):
        export(predictor, tmp_path / "model.onnx", target="tensorrt")
    assert not list(tmp_path.iterdir())


GRAPH = """
<ir_version: 9, opset_import: ["" : {opset}]>
refused (float[a, b, c, d] x, int64[n] given) => ({kind} y)
{{
    {body}
}}
"""


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ("y = NonZero (x)", "int64[e, f]", "NonZero is not on TensorRT's list"),
        ("wide = Cast <to = 11> (x)\n y = Abs (wide)", "double[a, b, c, d]", "Cast gives data of a type that Tens"),
        ("y = Cast <to = 2> (x)", "uint8[a, b, c, d]", "Cast gives data of a type that TensorRT lacks"),
        ("y = Softmax (given)", "int64[n]", "Softmax has data INT64"),
        ('y = Resize <antialias = 1, mode = "linear"> (x, , , given)', "float[a, b, e, f]", "antialias"),
        ('y = Resize <mode = "cubic"> (x, , , given)', "float[a, b, e, f]", "another mode than linear or nearest"),
        ("y = Squeeze (x, given)", "float[a, b, c]", "Squeeze has axes that are not constant"),
        ("y, where = MaxPool <kernel_shape = [2, 2]> (x)", "float[a, b, e, f]", "MaxPool gives indices"),
        ("y = MaxPool <kernel_shape = [2, 2], dilations = [2, 2]> (x)", "float[a, b, e, f]", "MaxPool is dilated"),
    ],
)
def test_what_tensorrt_lacks_is_refused(body: str, kind: str, message: str) -> None:
    onnx = pytest.importorskip("onnx")
    with pytest.raises(ConfigError, match=message):
        tensorrt.check(onnx.parser.parse_model(GRAPH.format(opset=20, kind=kind, body=body)))


def test_what_tensorrt_has_is_not_refused() -> None:
    onnx = pytest.importorskip("onnx")
    body = 'warm = Gelu (x)\n y = Resize <mode = "linear"> (warm, , , given)'
    tensorrt.check(onnx.parser.parse_model(GRAPH.format(opset=20, kind="float[a, b, e, f]", body=body)))


def test_an_operator_younger_than_the_opset_is_refused() -> None:
    onnx = pytest.importorskip("onnx")
    text = GRAPH.format(opset=16, kind="float[a, b, c, d]", body="y = LayerNormalization (x, x)")
    with pytest.raises(ConfigError, match="LayerNormalization is not on"):
        tensorrt.check_operators(onnx.parser.parse_model(text))


def test_the_list_names_operators_of_onnx() -> None:
    onnx = pytest.importorskip("onnx")
    known = {schema.name for schema in onnx.defs.get_all_schemas()}
    assert tensorrt.operators().keys() <= known
    assert not tensorrt.operators().keys() & FORBIDDEN
    assert all(operator.types for operator in tensorrt.operators().values())
    assert tensorrt.operators()["LayerNormalization"].opset == 17


class _Median(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.median(1).values


@pytest.mark.export
@pytest.mark.parametrize("opset", [17, 18])
def test_the_median_by_search_is_the_median(opset: int, tmp_path: Path) -> None:
    """Of more values than TensorRT's TopK takes, an odd and an even number of them, few different ones, all alike."""
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    file, options = tmp_path / "median.onnx", OnnxOptions.of("tensorrt", None, opset)
    names: dict[str, Any] = {"input_names": ["x"], "dynamic_axes": {"x": {0: "batch", 1: "values"}}}
    with added_operators(options), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the way of exporting that the package uses
        torch.onnx.export(_Median(), (torch.rand(2, 5),), file, dynamo=False, opset_version=opset, **names)
    assert "TopK" not in {node.op_type for node in onnx.load(file).graph.node}
    tensorrt.check(onnx.load(file))
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    torch.manual_seed(0)
    energy = torch.randn(3, 9000).exp().square() * 1e-4  # as of gradients: the median is a thousandth of the largest
    for x in (energy, energy[:, :-1], torch.randn(2, 101), torch.tensor([[0.0, 0.0, 0.0, 3.0], [7.0, 7.0, 7.0, 7.0]])):
        (found,) = session.run(None, {"x": x.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), x.median(1).values, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.xml", {"format": "openvino", "target": "tensorrt"}, "--for tensorrt is for --format onnx"),
        ("a.onnx", {"target": "tensorrt", "deformable": "operator"}, "leave --deformable out"),
        ("a.onnx", {"target": "tensorrt", "precision": "int8", "calibration": "data"}, "zero points that TensorRT"),
        ("a.onnx", {"target": "jetson"}, "choose any or tensorrt"),
        ("a.onnx", {"opset": 15}, "choose one of 16 to 20"),
        ("a.onnx", {"opset": 17}, "has no DeformConv, it came with 19; add --deformable grid-sample"),
        ("a.xml", {"format": "openvino", "opset": 20}, "--opset is for --format onnx"),
        ("a.onnx", {"size": (0, 32)}, "size is 0x32"),
        ("a.onnx", {"batch": 0}, "batch is 0"),
        ("a.onnx", {"size": (10**7, 10**7)}, "size 10000000x10000000, .*more than 150,000,000 pixels in a pass"),
        ("a.xml", {"format": "openvino", "size": (480, 640), "batch": 1000}, "batch 1000: more than"),
        ("a.xml", {"format": "openvino", "precision": "float16"}, "float16 is for --format onnx"),
    ],
)
def test_choices_that_do_not_fit(name: str, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        export(tmp_path / "never-opened", tmp_path / name, **options)
    assert not any(tmp_path.iterdir())
