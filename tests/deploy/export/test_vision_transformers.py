"""Vision transformers, Swin and Hiera in other formats: equal at sizes that were not traced, or one clear line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cimnet.deploy.export.write import SUFFIXES, Format, export
from cimnet.errors import ConfigError
from tests.fakes.small_timm import small_networks

from .conftest import untrained

pytestmark = [pytest.mark.export, pytest.mark.slow]
LORA = {"encoder_options": {"freeze": True, "adapter": "lora", "adapter_width": 2}}


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    with small_networks():
        yield


def _agree(name: str, out: Path, format: Format, **options: Any) -> None:
    found = export(untrained(name, **options), out / f"model{SUFFIXES[format]}", format)
    assert found.error is not None
    assert found.error < 1e-3
    assert found.equal >= 0.999


@pytest.mark.parametrize(
    "encoder",
    [
        "test_vit",
        "vit_small_patch14_reg4_dinov2",
        "vit_small_patch16_dinov3",
        "swin_tiny_patch4_window7_224",
        "swinv2_tiny_window8_256",
        "hiera_tiny_224",
        "sam2_hiera_tiny",
    ],
)
def test_onnx(encoder: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    _agree(f"thermal_only_{encoder}", tmp_path, "onnx")


@pytest.mark.parametrize("encoder", ["vit_small_patch14_reg4_dinov2", "vit_small_patch16_dinov3"])
def test_openvino(encoder: str, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    _agree(f"thermal_only_{encoder}", tmp_path, "openvino")


def test_onnx_of_adapters(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    _agree("cimnet_vit_small_patch16_dinov3", tmp_path, "onnx", **LORA)


@pytest.mark.parametrize("encoder", ["test_vit", "vit_small_patch16_dinov3"])
def test_pt2(encoder: str, tmp_path: Path) -> None:
    _agree(f"thermal_only_{encoder}", tmp_path, "pt2")


@pytest.mark.parametrize(
    ("encoder", "format", "reason"),
    [
        ("vit_small_patch14_dinov2", "pt2", "conditions on the image's size; export it to onnx"),
        ("eva02_tiny_patch14_224", "onnx", "no form in ONNX"),
    ],
)
def test_what_has_no_such_form(encoder: str, format: Format, reason: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    with pytest.raises(ConfigError, match=reason) as caught:
        export(untrained(f"thermal_only_{encoder}"), tmp_path / f"model{SUFFIXES[format]}", format)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
