"""ONNX without DeformConv, for runtimes that lack it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from cimnet.deploy.export.parity import compare
from cimnet.deploy.export.write import export
from cimnet.errors import ConfigError

from .conftest import open_exported, untrained


@pytest.mark.export
@pytest.mark.parametrize("options", [{}, {"modulation": True}], ids=["plain", "modulation"])
def test_grid_sample_takes_the_place_of_the_operator(options: dict[str, bool], tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    predictor, out = untrained("cimnet_efficientnet_lite0", **options), tmp_path / "model.onnx"
    found = export(predictor, out, deformable="grid-sample")
    assert found.equal >= 0.9999
    assert found.error is not None
    assert found.error < 1e-3
    used = Counter(node.op_type for node in onnx.load(out).graph.node)
    assert used["GridSample"] >= 8
    assert not used.keys() & {"DeformConv", "Loop", "If", "NonZero"}
    another = (2, 130, 61)  # batch and size
    assert compare(predictor.network, open_exported(out), another, seed=1).equal >= 0.9999


@pytest.mark.parametrize(
    ("name", "format", "deformable", "message"),
    [
        ("model.xml", "openvino", "grid-sample", "--format onnx"),
        ("model.pt2", "pt2", "grid-sample", "--format onnx"),
        ("model.onnx", "onnx", "loop", "choose operator or grid-sample"),
    ],
)
def test_choices_are_checked_before_anything_runs(
    name: str, format: str, deformable: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        export(tmp_path / "none.safetensors", tmp_path / name, format, deformable=deformable)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
