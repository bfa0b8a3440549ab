"""A small model with random weights, to export, and what is read from the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from cimnet.checkpoint import ModelInfo
from cimnet.data.io.second_modality import THERMAL, SecondModality
from cimnet.inference import Predictor
from cimnet.inference.backends.runtime import ExportedModel, load_exported
from cimnet.models import create_model

FLOAT, HALF, DOUBLE = 1, 10, 11
"""Types of tensors in ONNX."""
SMALL: dict[str, Any] = {"widths": (8, 16, 20, 32), "decoder_channels": 16}


def untrained(name: str, **options: Any) -> Predictor:
    """A small model with random weights, also where training begins at zero: offsets and other parts count, too."""
    torch.manual_seed(0)
    classes = ("a", "b", "c", "d")
    model = create_model(name, len(classes), **SMALL, **options)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    several = options.get("thermal_channels", 1)
    second = SecondModality("nir", several) if several > 1 else THERMAL
    kept = {"thermal_channels": several} if several > 1 else {}
    info = ModelInfo(name, kept, classes, ((0, 0, 0),) * 4, second=second)
    return Predictor(model, info, torch.device("cpu"))


PUBLISHED = (
    "rtfnet_resnet18",
    "feanet_resnet50",
    "gmnet_resnet50",
    "eaefnet_resnet50",
    "eaefnet_pst_resnet50",
    "cainet_mobilenet_v2",
)
"""The smallest network of each published family of ResNets and MobileNets."""
ANY_SIZE = ("small_cmx_mit_b0", "small_cmnext_mit_b0")
"""The same of those with MiT encoders."""


def published(name: str, **options: Any) -> Predictor:
    """A published network with random weights, at its own widths."""
    torch.manual_seed(0)
    classes = ("a", "b", "c", "d")
    model = create_model(name, len(classes), **options)
    return Predictor(model, ModelInfo(name, options, classes, ((0, 0, 0),) * 4), torch.device("cpu"))


def tensor_types(model: Any) -> dict[str, int]:
    """Of every tensor in an ONNX graph."""
    onnx = pytest.importorskip("onnx")
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    found = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for value in (*graph.value_info, *graph.input, *graph.output):
        found[value.name] = value.type.tensor_type.elem_type
    return found


def open_exported(file: Path) -> ExportedModel:
    """The model in an ONNX or OpenVINO file."""
    exported, _ = load_exported(file)
    assert isinstance(exported, ExportedModel)
    return exported
