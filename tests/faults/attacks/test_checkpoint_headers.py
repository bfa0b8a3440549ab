"""Headers of ``.safetensors`` files that promise more than the file holds: refused in a second, with no memory."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from cimnet.checkpoint import INFO_KEY, ModelInfo, load_checkpoint, save_checkpoint, write_info
from cimnet.errors import CheckpointError
from cimnet.models import create_model
from tests.faults.attacks.bounds import bounded

NAME = "cimnet_efficientnet_lite0"
SMALL: dict[str, Any] = {"widths": [8, 16, 20, 32], "decoder_channels": 16}


def _info(name: str = NAME, **options: Any) -> ModelInfo:
    return ModelInfo(name, options, ("a", "b", "c"), ((0, 0, 0),) * 3)


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """Those of a small model; building it also imports what a load imports."""
    return create_model(NAME, 3, **SMALL).state_dict()


def _refused(path: Path, says: str, seconds: float = 1.0) -> None:
    with bounded(seconds), pytest.raises(CheckpointError, match=says) as caught:
        load_checkpoint(path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    assert len(text) < 600


@pytest.mark.parametrize(
    "name",
    [
        "cimnet_convnext_xxlarge",
        "cimnet_tf_efficientnet_l2",
        "cimnet_vit_giant_patch14_224",
        "cimnet_fastvit_ma36",
        "cimnet_mit_b5",
        "rgb_only_maxvit_xlarge_tf_512",
        "parallel_rectification_davit_giant",
    ],
)
def test_a_giant_encoder_by_name(name: str, tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "m.safetensors"
    safetensors.torch.save_file({"x": torch.zeros(1)}, path, metadata={INFO_KEY: write_info(_info(name))})
    _refused(path, "many times larger than the weights")


@pytest.mark.parametrize(
    "options",
    [
        {"widths": [4080, 4080, 4080, 4080]},
        {"widths": [64, 128, 320, 2**40 * 8]},
        {"decoder_channels": 60_000},
        {"decoder_channels": 2**62},
        {"widths": [120, 120, 120, 120]},
    ],
)
def test_wide_layers(options: dict[str, Any], tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    """Also behind an empty tensor with a side as large as the layers'."""
    path = tmp_path / "m.safetensors"
    state = {**weights, "empty": torch.zeros(0, 60_000)}
    metadata = {INFO_KEY: write_info(_info(**{**SMALL, **options}))}
    safetensors.torch.save_file(state, path, metadata=metadata)
    _refused(path, "damaged|does not fit")
    safetensors.torch.save_file(dict(weights), path, metadata=metadata)
    _refused(path, "does not fit model", seconds=2.0)


def _file(path: Path, tensors: dict[str, Any], data: bytes = b"") -> Path:
    header = json.dumps({"__metadata__": {INFO_KEY: write_info(_info())}, **tensors}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


def _tensor(shape: list[Any], begin: Any = 0, end: Any = 0, dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    "entry",
    [
        _tensor([2**63]),
        _tensor([2**63, 0]),
        _tensor([0, 2**62]),
        _tensor([2**31, 2**33]),
        _tensor([1] * 60_000, end=4),
        _tensor([-1, -4], end=16),
        _tensor([2.0], end=8),
        _tensor([True], end=4),
        _tensor(["4"], end=16),
        _tensor([4], 0, 2**63),
        _tensor([4], "0", "16"),
        _tensor([4], end=16, dtype=["F32"]),
        {"dtype": "F32"},
        [],
        None,
    ],
    ids=lambda entry: str(entry)[:60],
)
def test_a_shape_that_cannot_be(entry: Any, tmp_path: Path) -> None:
    _refused(_file(tmp_path / "m.safetensors", {"a": entry}, bytes(16)), "damaged or not a safetensors file")


def test_a_million_empty_tensors(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    entries = ",".join(f'"t{k}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}' for k in range(1_000_000))
    path.write_bytes(struct.pack("<Q", len(entries) + 2) + f"{{{entries}}}".encode())
    _refused(path, r"header is [\d,]+ bytes long, more than")


def test_as_many_empty_tensors_as_a_header_may_hold(tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    path = _file(tmp_path / "m.safetensors", {f"t{k}": _tensor([0]) for k in range(110_000)})
    _refused(path, "does not fit model", seconds=5.0)


def test_what_is_whole_still_loads(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = create_model(NAME, 3, **SMALL, explicit_alignment=True, modulation=True)
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, model, _info(**SMALL, explicit_alignment=True, modulation=True))
    loaded, _ = load_checkpoint(path)
    state = loaded.state_dict()
    assert not any(value.is_meta for value in (*loaded.parameters(), *loaded.buffers()))
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
