"""Published networks in other runtimes: one of each family, at a size and batch that was not traced, and at sizes at
which the original is not padded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cimnet.deploy.export.parity import compare, random_pair
from cimnet.deploy.export.write import SUFFIXES, Format, export
from cimnet.errors import CheckpointError, ConfigError
from cimnet.inference import Predictor
from cimnet.inference.backends.runtime import ExportedModel, load_exported

from .conftest import ANY_SIZE, PUBLISHED, published

SIZES = ((70, 90), (20, 31), (176, 320))
"""32 divides none of the first two and one side of the last; the second is smaller than CMX takes."""


def _agree(
    predictor: Predictor, file: Path, format: Format, sizes: Sequence[tuple[int, int]], **options: Any
) -> ExportedModel:
    """The export's own comparison and ours, with the model as the predictor runs it, at other sizes."""
    pytest.importorskip("openvino" if format == "openvino" else "onnxruntime")
    exported_parity = export(predictor, file, format, **options)
    exported, _ = load_exported(file, trust=True)
    assert isinstance(exported, ExportedModel)
    for found in (exported_parity, *(compare(predictor.network, exported, (2, *size)) for size in sizes)):
        assert found.error is not None
        assert found.error < 1e-3
        assert found.equal >= 0.999
    return exported


@pytest.mark.export
@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_families(name: str, tmp_path: Path) -> None:
    _agree(published(name), tmp_path / "model.onnx", "onnx", SIZES)


@pytest.mark.export
@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "openvino"])
@pytest.mark.parametrize("name", [*ANY_SIZE, "small_sigma"])
def test_networks_that_take_any_size(name: str, format: Format, tmp_path: Path) -> None:
    _agree(published(name, channel_order="bgr"), tmp_path / f"model{SUFFIXES[format]}", format, SIZES)


@pytest.mark.export
@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "openvino", "pt2"])
@pytest.mark.parametrize("name", ["small_cmx_mit_b0", "cainet_mobilenet_v2"])
def test_a_file_of_one_size_gives_the_network_at_that_size(name: str, format: Format, tmp_path: Path) -> None:
    """At the size of half a pair of PST900, whose height 32 does not divide."""
    _agree(published(name), tmp_path / f"model{SUFFIXES[format]}", format, [], size=(180, 320), batch=1)


@pytest.mark.export
@pytest.mark.slow
@pytest.mark.parametrize("name", ["small_cmx_mit_b0", "rtfnet_resnet18"])
def test_pt2_files_of_networks_that_take_any_size_take_whole_tiles(name: str, tmp_path: Path) -> None:
    exported = _agree(published(name), tmp_path / "model.pt2", "pt2", [(64, 96)])
    with pytest.raises(CheckpointError, match="only multiples of 32"):
        exported(*random_pair((1, 70, 90)))


@pytest.mark.export
@pytest.mark.slow
def test_pt2_files_of_cainet_take_any_size(tmp_path: Path) -> None:
    _agree(published("cainet_mobilenet_v2"), tmp_path / "model.pt2", "pt2", SIZES)


def test_thermal_statistics_by_channel_stay_in_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="three channels of different statistics"):
        export(published("small_cmx_mit_b0"), tmp_path / "model.onnx", "onnx", normalization=False)
