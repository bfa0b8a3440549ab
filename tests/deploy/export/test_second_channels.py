"""Exported models whose second image has several channels: the checkpoint's pixels, and files that contradict
themselves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import cimnet
from cimnet.data.io.second_modality import SecondModality
from cimnet.deploy.export.parity import random_pair
from cimnet.deploy.export.triton import export_triton
from cimnet.deploy.export.write import SUFFIXES, Format, export
from cimnet.errors import CheckpointError, DataError
from cimnet.inference import Predictor
from cimnet.inference.backends import runtime
from cimnet.inference.backends.details import EXPORT_KEY, Precision
from tests.fakes.bands import make_second

from .conftest import open_exported, tensor_types, untrained

pytestmark = pytest.mark.export
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
NAME = "cimnet_efficientnet_lite0"
FORMATS = ("onnx", "openvino", pytest.param("pt2", marks=pytest.mark.slow))


def _predictor(**options: Any) -> Predictor:
    """Of three channels with statistics of their own, and with logits around 0, so that all classes occur."""
    predictor = untrained(NAME, thermal_channels=3, **options)
    network = predictor.network.eval()
    network.set_thermal_statistics([0.2, 0.5, 0.7], [0.1, 0.2, 0.3])
    last = [parameter for parameter in network.parameters() if parameter.shape == (4,)][-1]
    with torch.no_grad():
        last -= network(*random_pair(thermal_channels=3)).logits.mean((0, 2, 3))
    return predictor


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_gives_the_pixels_of_its_checkpoint(
    format: Format, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrays in, class ids out: of counts, of floats, of a pair without one of its images."""
    if format == "openvino":
        pytest.importorskip("openvino")
    predictor, out = _predictor(), tmp_path / f"model{SUFFIXES[format]}"
    assert export(predictor, out, format).equal >= 0.9999
    exported = cimnet.load(out, trust=True)
    assert exported.info.second == SecondModality("nir", 3)
    rng = np.random.default_rng(1)
    rgb, counts = rng.integers(0, 255, (37, 50, 3), np.uint8), rng.integers(0, 65535, (37, 50, 3), np.uint16)
    for pair in ((rgb, counts), (rgb, (counts / 65535).astype(np.float32)), (rgb, None), (None, counts)):
        np.testing.assert_allclose(exported.predict_proba(*pair), predictor.predict_proba(*pair), atol=1e-4)
        assert (exported.predict(*pair) == predictor.predict(*pair)).mean() >= 0.999
    swapped = np.ascontiguousarray(counts[..., ::-1])
    assert len(np.unique(exported.predict(rgb, counts))) > 1
    assert np.abs(exported.predict_proba(rgb, swapped) - exported.predict_proba(rgb, counts)).max() > 0.01
    with pytest.raises(DataError, match=r"nir: got the shape \(37, 50\), expected \(H, W, 3\)"):
        exported.predict(rgb, counts[..., 0])
    assert isinstance(exported.model, runtime.ExportedModel)
    wrong = replace(exported.model.details, thermal_channels=2)
    monkeypatch.setattr(runtime, "from_metadata", lambda path, metadata: (exported.info, wrong))
    with pytest.raises(CheckpointError, match=r"its graph takes 3 channels of the second image .* says 2"):
        cimnet.load(out, trust=True)


@pytest.mark.parametrize(
    "options",
    [
        {"target": "tensorrt"},
        {"target": "tensorrt", "size": (64, 96), "batch": 2, "argmax": True},
        {"size": (37, 50)},
        {"normalization": False},
        {"precision": "float16"},
    ],
    ids=["tensorrt", "tensorrt of one size", "one size", "normalised outside", "float16"],
)
def test_options(options: dict[str, Any], tmp_path: Path) -> None:
    predictor, out = _predictor(), tmp_path / "model.onnx"
    least = 0.97 if "precision" in options else 0.9999
    assert export(predictor, out, **options).equal >= least
    height, width = options.get("size", (45, 70))
    rgb, nir = random_pair((2, height, width), seed=1, thermal_channels=3)
    wanted = predictor.network.predict(rgb, nir)
    assert (open_exported(out).predict(rgb, nir) == wanted).double().mean() >= least
    graph = onnx.load(out).graph
    assert [entry.type.tensor_type.shape.dim[1].dim_value for entry in graph.input] == [3, 3]
    assert tensor_types(onnx.load(out))["thermal"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["int8", "bfloat16"])
def test_openvino_at_reduced_precision(precision: Precision, tmp_path: Path) -> None:
    """The ranges of 8 bits come from files of three bands; in bfloat16 the graph is cut behind the first stages."""
    for package in ("openvino", "rasterio"):
        pytest.importorskip(package)
    predictor, out = _predictor(), tmp_path / "model.xml"
    root = make_second(tmp_path / "data", channels=3)
    (root / "classes.yaml").write_text("classes: [a, b, c, d]\n")
    given = root if precision == "int8" else None
    assert export(predictor, out, "openvino", precision=precision, calibration=given).equal > 0.5
    assert open_exported(out).details.thermal_channels == 3


def test_images_are_scaled_channel_by_channel(tmp_path: Path) -> None:
    """A channel of one value beside others, and a second image that is blank, where a model makes images smaller."""
    predictor, out = _predictor(input_scale=0.7), tmp_path / "model.onnx"
    assert export(predictor, out).equal >= 0.999
    exported = open_exported(out)
    rgb, nir = random_pair((2, 45, 70), seed=2, thermal_channels=3)
    nir[0, 1], nir[1] = 0.3, torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)
    torch.testing.assert_close(exported(rgb, nir).logits, predictor.network(rgb, nir).logits, atol=1e-3, rtol=1e-3)


def test_a_file_that_contradicts_itself(tmp_path: Path) -> None:
    """The graph, the description of the model and that of the export each say a number of channels."""
    out = tmp_path / "model.onnx"
    export(_predictor(), out)
    model = onnx.load(out)
    said = {entry.key: entry.value for entry in model.metadata_props}
    details = json.loads(said[EXPORT_KEY])
    assert (details["thermal_channels"], len(details["thermal_mean"])) == (3, 3)
    for changes in ({"thermal_channels": 2}, {"thermal_channels": "3"}, {"thermal_mean": [0.5]}):
        onnx.helper.set_model_props(model, said | {EXPORT_KEY: json.dumps(details | changes)})
        onnx.save(model, tmp_path / "other.onnx")
        with pytest.raises(CheckpointError, match=r"other\.onnx: its description is damaged or of another version"):
            cimnet.load(tmp_path / "other.onnx")
    thermal = tmp_path / "thermal.onnx"
    export(untrained(NAME), thermal)
    model = onnx.load(thermal)
    onnx.helper.set_model_props(model, said)
    onnx.save(model, thermal)
    with pytest.raises(CheckpointError, match=r"its graph takes 1 channels? of the second image where .* says 3"):
        cimnet.load(thermal)


def test_files_of_one_channel_say_what_they_said(tmp_path: Path) -> None:
    export(untrained(NAME), tmp_path / "model.onnx")
    said = {entry.key: entry.value for entry in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert "thermal_channels" not in json.loads(said[EXPORT_KEY])


def test_a_repository_for_triton_names_the_channels(tmp_path: Path) -> None:
    folder, parity = export_triton(_predictor(), tmp_path)
    assert parity.equal >= 0.9999
    assert 'name: "thermal", data_type: TYPE_FP32, dims: [ 3, -1, -1 ]' in (folder / "config.pbtxt").read_text()
