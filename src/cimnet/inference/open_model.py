"""Open a trained model of any kind for prediction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from cimnet.checkpoint import load_checkpoint
from cimnet.errors import ConfigError
from cimnet.inference.predictor import Predictor
from cimnet.inference.settings import Settings, choose_device
from cimnet.weights.locate import EXPORTED, locate


def load(
    source: str | Path, device: str | torch.device | None = None, *, trust: bool = False, **settings: Any
) -> Predictor:
    """Open a trained model for prediction.

    Args:
        source: a run folder, a ``.safetensors`` checkpoint or a folder that :meth:`Predictor.save` wrote; an exported
            ``.onnx``, ``.xml`` (OpenVINO) or ``.pt2`` file; a repository on the Hugging Face Hub, ``user/name``; or
            ``starter``, the checkpoint that comes with the package. A checkpoint of that name in the working folder
            comes first, with a warning.
        device: "cpu", "cuda", "cuda:1" or a torch.device. None: CUDA if available, otherwise the CPU. Exported models
            run on the CPU.
        trust: whether to open a ``.pt2`` file: torch may run code that such a file holds, so do this for your own files
            only. No other kind needs it.
        settings: how the model is run: ``batch_size`` (images in one pass, default 1), ``precision`` ("float32",
            "bfloat16" or "float16"), ``window`` (side of the windows for large images, pixels) and the other fields of
            :class:`cimnet.inference.settings.Settings`.

    Returns:
        A :class:`cimnet.inference.Predictor`; ``predict(rgb, thermal)`` gives the mask of a pair.

    Raises:
        CheckpointError: the file does not exist, is damaged, or needs ``trust``.
        ConfigError: there is no such device here, or a setting is out of range.
    """
    path = locate(source)
    if path.suffix in EXPORTED:
        from cimnet.inference.backends.runtime import load_exported

        if device is not None and choose_device(device).type != "cpu":
            raise ConfigError(f"device '{device}': exported models run on the CPU; load the checkpoint for another one")
        if settings.get("precision", "float32") != "float32":
            raise ConfigError("precision: of an exported model it is chosen by `cimnet export`; leave it out")
        model, info = load_exported(path, trust)
        return Predictor(model, info, torch.device("cpu"), Settings(**settings))
    return Predictor(*load_checkpoint(path), choose_device(device), Settings(**settings))
