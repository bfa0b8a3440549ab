"""A small model with random weights, to export."""

from __future__ import annotations

from typing import Any

import torch

from cimnet.checkpoint import ModelInfo
from cimnet.inference import Predictor
from cimnet.models import create_model

SMALL: dict[str, Any] = {"widths": (8, 16, 20, 32), "decoder_channels": 16}


def untrained(name: str, **options: Any) -> Predictor:
    """A small model with random weights, also where training begins at zero: offsets and other parts count, too."""
    torch.manual_seed(0)
    classes = ("a", "b", "c", "d")
    model = create_model(name, len(classes), **SMALL, **options)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    return Predictor(model, ModelInfo(name, {}, classes, ((0, 0, 0),) * 4), torch.device("cpu"))
