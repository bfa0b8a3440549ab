"""Published networks in other runtimes: one of each family, at a size and batch that was not traced."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cimnet.deploy.export.write import SUFFIXES, Format, export
from cimnet.errors import ConfigError
from cimnet.inference import Predictor, load

from .conftest import ANY_SIZE, PUBLISHED, published


def _agree(predictor: Predictor, file: Path, format: Format) -> None:
    pytest.importorskip("openvino" if format == "openvino" else "onnxruntime")
    found = export(predictor, file, format)
    assert found.error is not None
    assert found.error < 1e-3
    assert found.equal >= 0.999


@pytest.mark.export
@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_families(name: str, tmp_path: Path) -> None:
    _agree(published(name), tmp_path / "model.onnx", "onnx")


@pytest.mark.export
@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "openvino", "pt2"])
@pytest.mark.parametrize("name", ANY_SIZE)
def test_networks_that_take_any_size(name: str, format: Format, tmp_path: Path) -> None:
    _agree(published(name, channel_order="bgr"), tmp_path / f"model{SUFFIXES[format]}", format)


@pytest.mark.export
@pytest.mark.slow
def test_at_whole_tiles_the_graph_gives_the_models_own_logits(tmp_path: Path) -> None:
    """At other sizes the graph pads, which a network that takes any size does not do."""
    pytest.importorskip("onnxruntime")
    predictor = published("small_cmx_mit_b0")
    export(predictor, tmp_path / "model.onnx", "onnx")
    exported = load(tmp_path / "model.onnx").model
    rgb, thermal = torch.rand(1, 3, 96, 64), torch.rand(1, 1, 96, 64)
    torch.testing.assert_close(exported(rgb, thermal).logits, predictor.model(rgb, thermal).logits, rtol=0, atol=1e-3)
    assert predictor.network.stride == 1


def test_thermal_statistics_by_channel_stay_in_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="three channels of different statistics"):
        export(published("small_cmx_mit_b0"), tmp_path / "model.onnx", "onnx", normalization=False)
