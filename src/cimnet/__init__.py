"""CIMNet: RGB-thermal semantic segmentation. Names are imported when first used, so ``import cimnet`` is quick."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cimnet.errors import CimnetError
from cimnet.version import __version__

if TYPE_CHECKING:
    from cimnet.data import RGBTSample, open_dataset
    from cimnet.evaluation import evaluate
    from cimnet.inference import load
    from cimnet.models import create_model, list_models
    from cimnet.training import train
    from cimnet.training.recipe import load_recipe
    from cimnet.weights.official import from_official

_HOMES = {
    "RGBTSample": "cimnet.data",
    "create_model": "cimnet.models",
    "evaluate": "cimnet.evaluation",
    "from_official": "cimnet.weights.official",
    "list_models": "cimnet.models",
    "load": "cimnet.inference",
    "load_recipe": "cimnet.training.recipe",
    "open_dataset": "cimnet.data",
    "train": "cimnet.training",
}

__all__ = [
    "CimnetError",
    "RGBTSample",
    "__version__",
    "create_model",
    "evaluate",
    "from_official",
    "list_models",
    "load",
    "load_recipe",
    "open_dataset",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cimnet' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
