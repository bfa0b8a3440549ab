"""Every registered family, in every format: the same classes at a size and batch that was not traced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from cimnet.deploy.export.write import SUFFIXES, Format, export
from cimnet.inference import Predictor, load
from cimnet.models import list_models
from cimnet.models.registry import ENCODERS, list_networks

from .conftest import untrained

pytestmark = [pytest.mark.export, pytest.mark.slow]
FAMILIES = sorted(name.removesuffix("_resnet18") for name in set(list_models("*_resnet18")) - set(list_networks()))
SPECIAL: dict[str, dict[str, Any]] = {
    "alignment": {"explicit_alignment": True},
    "alone": {"decode_alone": True},
    "modulation": {"modulation": True, "offset_update": "residual"},
    "no offsets": {"msm": False, "cwr": False},
    "smaller inside": {"input_scale": 0.7},
}


def _agree(predictor: Predictor, out: Path, format: Format, most: float = 1e-3) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    if format == "openvino":
        pytest.importorskip("openvino")
    found = export(predictor, out / f"model{SUFFIXES[format]}", format)
    assert found.error is not None
    assert found.error < most
    assert found.equal >= 0.999


def test_all_families_are_here() -> None:
    assert len(list_models()) == len(FAMILIES) * len(ENCODERS) + len(list_networks())


@pytest.mark.parametrize("format", ["onnx", "openvino", "pt2"])
@pytest.mark.parametrize("family", FAMILIES)
def test_families(family: str, format: Format, tmp_path: Path) -> None:
    _agree(untrained(f"{family}_efficientnet_lite0"), tmp_path, format)


@pytest.mark.parametrize("family", ["parallel_rectification", "addition", "early_fusion"])
def test_families_with_alignment(family: str, tmp_path: Path) -> None:
    _agree(untrained(f"{family}_efficientnet_lite0", explicit_alignment=True), tmp_path, "onnx")


@pytest.mark.parametrize("encoder", ["mit_b0", "resnet18", "convnext_nano"])
def test_encoders(encoder: str, tmp_path: Path) -> None:
    _agree(untrained(f"cimnet_{encoder}"), tmp_path, "onnx")


@pytest.mark.parametrize("options", SPECIAL.values(), ids=SPECIAL.keys())
@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_options(options: dict[str, Any], format: Format, tmp_path: Path) -> None:
    # OpenVINO repeats the border when it scales down, torch and ONNX Runtime leave it out
    most = 0.05 if format == "openvino" and "input_scale" in options else 1e-3
    _agree(untrained("cimnet_efficientnet_lite0", **options), tmp_path, format, most)


@pytest.mark.parametrize("normalization", [True, False])
@pytest.mark.parametrize("format", ["onnx", "openvino", "pt2"])
def test_lost_rows(format: Format, normalization: bool, tmp_path: Path) -> None:
    """Rows that are black over the whole width are left to the other sensor in a file, too, by a gate that weighs
    evidence; dark rows are not."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("openvino")
    torch.manual_seed(0)
    predictor = untrained("cimnetx_efficientnet_lite0")
    gate = predictor.network.reliability
    torch.nn.init.normal_(gate.weigh.weight)
    file = tmp_path / f"model{SUFFIXES[format]}"
    export(predictor, file, format, normalization=normalization)
    rgb, thermal = 0.2 * torch.rand(2, 3, 96, 128), 0.2 * torch.rand(2, 1, 96, 128)
    rgb[0, :, 32:64] = 0
    thermal[1, :, 48:80] = 0
    given = predictor.logits(rgb, thermal)
    found = load(file, "cpu", trust=True).logits(rgb, thermal)
    assert (found - given).abs().max() < 1e-3 * given.abs().max()
