"""8 bits: which layers are quantised, and that both formats keep the masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import cimnet
from cimnet.checkpoint import identity
from cimnet.data.pairs import Pair
from cimnet.data.sample import RGBTSample
from cimnet.deploy.export import quantize
from cimnet.deploy.export.write import export
from cimnet.errors import DataError
from cimnet.inference.backends.details import Details
from cimnet.training import train
from tests.conftest import Trained, one_thread, tiny_recipe
from tests.fakes.layouts import make_folder

pytestmark = [pytest.mark.export, pytest.mark.slow]
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def lite0(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """An encoder whose layers are wide enough for 8 bits, which the tests' smallest one is not."""
    base = tmp_path_factory.mktemp("lite0")
    recipe = tiny_recipe(make_folder(base / "data", 12), model={"name": "cimnet_efficientnet_lite0"})
    with one_thread():
        train(recipe, base / "run")
    return Trained(base / "data", recipe, base / "run", [])


class _Large:
    """32 pairs whose pixels say where they are: 1000 · row + column."""

    pairs = tuple(Pair("x", Path(), Path(), None) for _ in range(32))

    def __getitem__(self, index: int) -> RGBTSample:
        place = 1000.0 * torch.arange(720)[:, None] + torch.arange(720)
        return RGBTSample(place.expand(3, -1, -1), place[None], None, "x")


def test_encoders_are_quantised_behind_their_first_stages(trained: Trained, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    export(trained.best, file, precision="int8", calibration=trained.root)
    graph = onnx.load(file).graph
    made_by = {output: node.op_type for node in graph.node for output in node.output}
    for stage, eight in (("stages.0", False), ("stages.1", True), ("stages.3", True)):
        layers = [node for node in graph.node if node.op_type == "Conv" and f"/{stage}/" in node.name]
        assert len(layers) > 2
        assert {made_by.get(node.input[1]) == "DequantizeLinear" for node in layers} == {eight}


def test_openvino_gets_maps_around_zero(trained: Trained, tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    file = tmp_path / "model.xml"
    export(trained.best, file, "openvino", precision="int8", calibration=trained.root)
    operators = openvino.Core().read_model(file).get_ordered_ops()
    quantized = [node for node in operators if node.get_type_name() == "FakeQuantize"]
    assert len(quantized) > 20
    for node in quantized:  # lowest and highest value that its 8 bits stand for
        low, high = (node.input_value(k).get_node().get_data().item() for k in (1, 2))
        assert low / high == pytest.approx(-128 / 127)


@pytest.mark.parametrize("name", ["model.onnx", "model.xml"])
def test_masks_stay_what_they_were(lite0: Trained, name: str, tmp_path: Path) -> None:
    format = "onnx"
    if name == "model.xml":
        pytest.importorskip("openvino")
        format = "openvino"
    export(lite0.best, tmp_path / name, format, precision="int8", calibration=lite0.root)
    predictor, eight = cimnet.load(lite0.best, "cpu"), cimnet.load(tmp_path / name)
    data = predictor.open_dataset(lite0.root, "train")
    rgb, thermal = (torch.stack([getattr(data[k], image) for k in range(4)]) for image in ("rgb", "thermal"))
    wanted = predictor.model.predict(rgb, thermal)
    assert wanted.unique().numel() > 1
    equal = (eight.model.predict(rgb, thermal) == wanted).float().mean()
    assert 0.9 < equal < 1  # close, and not the float model under another name


def test_pairs_for_the_ranges_are_of_the_size_and_the_batch_of_the_file(trained: Trained, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    export(trained.best, file, precision="int8", calibration=trained.root, size=(32, 40), batch=2)
    assert [side.dim_value for side in onnx.load(file).graph.input[0].type.tensor_type.shape.dim] == [2, 3, 32, 40]
    with pytest.raises(DataError, match=r"is 32x40, and --size makes a file for 64x96 alone; give --calibration"):
        export(trained.best, tmp_path / "other.onnx", precision="int8", calibration=trained.root, size=(64, 96))
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["model.onnx"]


def test_large_pairs_set_the_ranges_by_parts_all_over_them(trained: Trained) -> None:
    predictor = cimnet.load(trained.best, "cpu")
    data = _Large()
    predictor.open_dataset = lambda root, split: data  # type: ignore[method-assign, assignment, misc]
    details = Details.of(predictor.network, False, True, "int8", None, 2)
    parts = list(quantize._pairs(predictor, trained.root, details))
    assert {part["rgb"].shape for part in parts} == {(2, 3, quantize.SIDE, quantize.SIDE)}
    assert all(np.array_equal(part["rgb"][:, :1], part["thermal"]) for part in parts)
    starts = np.array([part["rgb"][0, 0, 0, 0] for part in parts])
    rows, columns = starts // 1000, starts % 1000
    assert rows.min() < 20 < 300 < rows.max() <= 400
    assert columns.min() < 20 < 300 < columns.max() <= 400


def test_every_export_of_a_model_has_an_identity_of_its_own(trained: Trained, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    files = [trained.best]
    for name, options in (
        ("float32.onnx", {}),
        ("int8.onnx", {"precision": "int8", "calibration": trained.root}),
        ("float32.xml", {"format": "openvino"}),
        ("bfloat16.xml", {"format": "openvino", "precision": "bfloat16"}),
        ("int8.xml", {"format": "openvino", "precision": "int8", "calibration": trained.root}),
    ):
        export(trained.best, tmp_path / name, **options)
        files.append(tmp_path / name)
    assert len({identity(file) for file in files}) == len(files)
