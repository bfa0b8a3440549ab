"""A model as it is measured here, whatever its origin: images in 0..1 in, class ids out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cimnet.data import RGBTDataset
from cimnet.data.pairs import rgb_size
from cimnet.errors import ConfigError
from cimnet.inference import Predictor, load
from cimnet.inference.backends.runtime import ExportedModel
from cimnet.inference.settings import choose_device
from cimnet.models.base import class_ids
from cimnet.utils.numbers import pluralize
from cimnet.weights.locate import identity_of

Model = str | Path | Callable[[Tensor, Tensor], Any]
"""A checkpoint, a run folder, or (rgb (B, 3, H, W), thermal (B, 1, H, W)) in 0..1 to logits (B, K, H, W)."""


class ModelUnderTest:
    """Gives class ids (B, H, W) of a model for the classes of a data set.

    Raises:
        ConfigError: when called, if the model does not return logits for these classes and images.
    """

    def __init__(self, call: Callable[[Tensor, Tensor], Any], classes: Sequence[str], device: torch.device) -> None:
        self.call, self.classes, self.device = call, classes, device

    @torch.inference_mode()
    def __call__(self, rgb: Tensor, thermal: Tensor) -> npt.NDArray[np.int64]:
        modes = {module: module.training for module in self.call.modules()} if isinstance(self.call, nn.Module) else {}
        for module in modes:
            module.training = False
        try:
            output = self.call(rgb.to(self.device), thermal.to(self.device))
        finally:
            for module, mode in modes.items():
                module.training = mode
        logits = getattr(output, "logits", output)
        self._check(logits, rgb)
        return class_ids(logits).cpu().numpy()

    def _check(self, logits: Any, rgb: Tensor) -> None:
        batch, _, height, width = rgb.shape
        expected = f"expected ({batch}, {len(self.classes)}, {height}, {width})"
        if not isinstance(logits, Tensor) or logits.ndim != 4:
            shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ConfigError(f"model: returned {shape}, {expected}: logits (B, K, H, W), or an object with .logits")
        if logits.shape[1] != len(self.classes):
            raise ConfigError(
                f"model: returned logits of {pluralize(logits.shape[1], 'class', 'classes')}, but the data set has "
                f"{len(self.classes)} "
                f"({', '.join(self.classes)}); open it with the classes that the model was trained on"
            )
        if logits.shape != (batch, len(self.classes), height, width):
            raise ConfigError(
                f"model: returned logits {tuple(logits.shape)}, {expected}; resize them to the size of the images"
            )


def open_model(
    model: Model,
    dataset: RGBTDataset,
    device: str | torch.device | None,
    opened: Predictor | None = None,
    trust: bool = False,
) -> ModelUnderTest:
    """Load a checkpoint, or take a callable as it is (a module in evaluation mode, where its parameters lie).

    Args:
        opened: the checkpoint, where the caller has loaded it already; it is not loaded again.

    Raises:
        CheckpointError: the checkpoint cannot be used, or is an exported file that gives class ids only.
        ConfigError: there is no such device, or the data set was opened with other classes or another thermal scaling
            than the checkpoint's.
    """
    if not isinstance(model, str | Path):
        if device is None:
            device = next((p.device for p in model.parameters()), None) if isinstance(model, nn.Module) else None
        return ModelUnderTest(model, dataset.classes, choose_device(device or "cpu"))
    predictor = opened or load(model, device, trust=trust)
    if isinstance(predictor.model, ExportedModel):
        predictor.model.require_logits()  # before anything is written
    if tuple(dataset.classes) != predictor.classes:
        raise ConfigError(
            f"{model}: has the classes {', '.join(predictor.classes)}, but {dataset.root} was opened with "
            f"{', '.join(dataset.classes)}; open it with load(checkpoint).open_dataset(...)"
        )
    if dataset.scaling != predictor.info.scaling:
        raise ConfigError(
            f"{model}: scales thermal images in another way than {dataset.root} was opened with; open it with "
            "load(checkpoint).open_dataset(...)"
        )
    return ModelUnderTest(predictor.model, dataset.classes, predictor.device)


def require_sizes(judged: ModelUnderTest, dataset: RGBTDataset, indices: Iterable[int]) -> None:
    """Refuse an exported file that does not take the images of these pairs, by their headers alone.

    Raises:
        CheckpointError: it names both sizes.
    """
    if not isinstance(judged.call, ExportedModel):
        return
    top, right, bottom, left = dataset.file.border
    for height, width in {rgb_size(dataset.pairs[i].rgb, dataset.file.bands) for i in indices}:
        judged.call.require_size(height - top - bottom, width - left - right)


def label_and_identity(model: Model, name: str) -> tuple[str, str]:
    """A model's name in reports, and what distinguishes it from others: the SHA-256 of its files, or the name given.

    Raises:
        CheckpointError: there is no such checkpoint.
    """
    if not isinstance(model, str | Path):
        return name or getattr(model, "__name__", type(model).__name__), name
    return name or Path(model).name, f"sha256 {identity_of(model)}"
