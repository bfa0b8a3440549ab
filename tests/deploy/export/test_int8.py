"""8 bits: which layers are quantised, and that both formats keep the masks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import cimnet
from cimnet.checkpoint import identity
from cimnet.deploy.export.write import export
from tests.conftest import Trained

pytestmark = [pytest.mark.export, pytest.mark.slow]
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def test_encoders_are_quantised_behind_their_first_stages(trained: Trained, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    export(trained.best, file, precision="int8", calibration=trained.root)
    graph = onnx.load(file).graph
    made_by = {output: node.op_type for node in graph.node for output in node.output}
    for stage, eight in (("stages.0", False), ("stages.1", True), ("stages.3", True)):
        layers = [node for node in graph.node if node.op_type == "Conv" and f"/{stage}/" in node.name]
        assert len(layers) > 2
        assert {made_by.get(node.input[1]) == "DequantizeLinear" for node in layers} == {eight}


@pytest.mark.parametrize("name", ["model.onnx", "model.xml"])
def test_masks_stay_what_they_were(trained: Trained, name: str, tmp_path: Path) -> None:
    format = "onnx"
    if name == "model.xml":
        pytest.importorskip("openvino")
        format = "openvino"
    export(trained.best, tmp_path / name, format, precision="int8", calibration=trained.root)
    predictor, eight = cimnet.load(trained.best, "cpu"), cimnet.load(tmp_path / name)
    data = predictor.open_dataset(trained.root, "train")
    rgb, thermal = (torch.stack([getattr(data[k], image) for k in range(4)]) for image in ("rgb", "thermal"))
    wanted = predictor.model.predict(rgb, thermal)
    assert wanted.unique().numel() > 1
    equal = (eight.model.predict(rgb, thermal) == wanted).float().mean()
    assert 0.9 < equal < 1  # close, and not the float model under another name


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
