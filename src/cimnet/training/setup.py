"""Build the parts that a run needs from a recipe: devices, data, model, loss."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torchvision.transforms import v2

from cimnet.checkpoint import ModelInfo
from cimnet.data import (
    RGBTDataset,
    ThermalScaling,
    open_dataset,
    suggest_thermal_range,
    thermal_statistics,
    train_transform,
)
from cimnet.data.classes import moving_ids
from cimnet.data.degrade import Degrade
from cimnet.data.io.second_modality import SecondModality
from cimnet.errors import ConfigError
from cimnet.models import RGBTModel, create_model
from cimnet.models.registry import list_networks
from cimnet.training.loss import SegmentationLoss
from cimnet.training.recipe import Recipe
from cimnet.utils.numbers import pluralize
from cimnet.weights.fit import Fit, create_from, open_source


def open_split(recipe: Recipe, split: str, **others: Any) -> RGBTDataset:
    """Open one split by the data section of a recipe.

    Args:
        others: arguments of :func:`cimnet.data.open_dataset` in place of those of the recipe.

    Raises:
        DataError: the split cannot be used.
    """
    data = recipe.data
    options: dict[str, Any] = {
        "layout": data.layout,
        "classes": data.classes,
        "thermal_range": data.thermal(),
        "cache": data.cache,
        "cache_folder": data.cache_folder,
        "broken": data.broken,
        "second": None if data.second is None else data.second.modality(),
    }
    return open_dataset(data.root, split, **{**options, **others})


def open_splits(recipe: Recipe, processes: int = 1, **others: Any) -> tuple[RGBTDataset, RGBTDataset]:
    """Open the training and validation splits of a recipe. The training split has the recipe's augmentation; with
    ``thermal_percentiles``, both have the range that was found in it.

    Args:
        processes: that train together.
        others: see `open_split`.

    Raises:
        DataError, ConfigError: if a split can't be used or is smaller than the batches of all ``processes``.
    """
    data = recipe.data
    train_set = open_split(recipe, data.train, **others)
    if data.thermal_percentiles is not None:
        if train_set.file.thermal is not None:
            raise ConfigError(
                f"data.thermal_percentiles: {train_set.file.path} gives a thermal_range already; take one of them out"
            )
        found = suggest_thermal_range(train_set, percentiles=data.thermal_percentiles)
        train_set.scaling = ThermalScaling("range", *found)
        others = {**others, "thermal_range": found}
    _check_several_channels(recipe, train_set.second)
    val_set = open_split(recipe, data.val, **others)
    require_whole_batch(recipe, data.train, len(train_set), processes)
    height, width = recipe.augmentation.crop
    if recipe.training.batch_size * math.ceil(height / 32) * math.ceil(width / 32) < 2:
        raise ConfigError(
            f"augmentation.crop {height}x{width} with training.batch_size 1: batch normalisation needs more than one "
            "position at 1/32 of the size; raise either"
        )
    train_set.transform = augmentation(recipe, train_set.classes)
    return train_set, val_set


def require_whole_batch(recipe: Recipe, split: str, pairs: int, processes: int = 1) -> None:
    """Refuse a training split that is smaller than the batches of all ``processes`` together.

    Raises:
        ConfigError: naming the split and how many ``pairs`` it has.
    """
    if pairs < recipe.training.batch_size * processes:
        each = f" in each of {processes} processes" if processes > 1 else ""
        raise ConfigError(
            f"training.batch_size is {recipe.training.batch_size}{each}, but split '{split}' of {recipe.data.root} has "
            f"only {pluralize(pairs, 'pair')}; lower it"
        )


def _check_several_channels(recipe: Recipe, second: SecondModality) -> None:
    """Refuse what only second images of one channel have.

    Raises:
        ConfigError: naming the field of the recipe.
    """
    if second.channels == 1:
        return
    for field in ("misalignment", "corruption_prob"):
        if getattr(recipe.augmentation, field):
            second.require_one_channel(f"recipe field augmentation.{field}", "leave the field out")
    if recipe.model.explicit_alignment:
        second.require_one_channel("recipe field model.explicit_alignment", "leave the field out")
    if recipe.model.name in list_networks():
        second.require_one_channel(
            f"the published network {recipe.model.name}", "choose a CIMNet or one of its reference points"
        )


def augmentation(recipe: Recipe, classes: tuple[str, ...]) -> Any:
    """The training transform of a recipe: class names become ids, and the model's ``input_scale`` goes into the zoom.

    Raises:
        ConfigError: if a rare class is not one of the data set's.
    """
    config, zoom = recipe.augmentation, recipe.model.input_scale or 1.0
    unknown = [name for name in config.rare_classes if name not in classes]
    if unknown:
        raise ConfigError(
            f"augmentation.rare_classes: '{unknown[0]}' is no class of the data set ({', '.join(classes)})"
        )
    transform = train_transform(
        crop=config.crop,
        scale=(zoom * config.scale[0], zoom * config.scale[1]),
        hflip=config.hflip,
        vflip=config.vflip,
        color_jitter=config.color_jitter,
        thermal_jitter=config.thermal_jitter,
        rare_class_prob=config.rare_class_prob,
        rare_classes=[classes.index(name) for name in config.rare_classes],
    )
    degrade = Degrade(
        misalignment=config.misalignment,
        misalignment_prob=config.misalignment_prob,
        corruption_prob=config.corruption_prob,
        corruptions=config.corruptions,
        moving=moving_ids(classes),
    )
    return v2.Compose([transform, degrade])


def build_model(
    recipe: Recipe, train_set: RGBTDataset, resumed: bool = False
) -> tuple[RGBTModel, ModelInfo, Fit | None]:
    """Create the model with the training set's thermal statistics, and its description for checkpoints.

    Args:
        resumed: all weights come from a training state next, so ``model.weights`` is not read.

    Returns:
        Model, description, and what was taken of ``model.weights``.

    Raises:
        ConfigError, CheckpointError: the model cannot be built, or the weights cannot be used.
    """
    options, fit = recipe.model.options(), None
    if train_set.second.channels > 1:
        options["thermal_channels"] = train_set.second.channels
    if recipe.model.weights is None or resumed:
        model = create_model(recipe.model.name, len(train_set.classes), **options)
    else:
        source = open_source(recipe.model.weights, recipe.model.name)
        model, fit = create_from(source, recipe.model.name, train_set.classes, **options)
    model.set_thermal_statistics(*thermal_statistics(train_set))
    if train_set.thermal_dtype == "uint16" and train_set.scaling.low is None:
        low, high = suggest_thermal_range(train_set)
        warnings.warn(
            f"data.thermal_range is not set: 0 to 65535 become 0 to 1, but nearly all counts lie in {low:.0f} to "
            f"{high:.0f}; `--set data.thermal_percentiles=[0.1,99.9]` uses the range of these images",
            stacklevel=2,
        )
    info = ModelInfo(
        recipe.model.name,
        options,
        train_set.classes,
        train_set.colors,
        train_set.scaling,
        train_set.thermal_dtype,
        second=train_set.second,
    )
    return model, info, fit


def build_loss(recipe: Recipe, pixel_counts: np.ndarray) -> SegmentationLoss:
    """The loss of a recipe. ``inverse_sqrt`` weighs a class by 1/√(its share of pixels), scaled to mean 1."""
    if recipe.loss.mutual_information_weight == "free":
        warnings.warn(
            "loss.mutual_information_weight 'free': λ can fall below zero, which rewards redundancy", stacklevel=2
        )
    weights = None
    if recipe.loss.class_weights == "inverse_sqrt":
        share = torch.as_tensor(pixel_counts / max(pixel_counts.sum(), 1), dtype=torch.float32)
        weights = torch.where(share > 0, share.clamp_min(1e-5).rsqrt(), 0.0)
        weights = weights / weights[weights > 0].mean()
    return SegmentationLoss(
        recipe.loss.mutual_information_weight,
        recipe.loss.initial_weight,
        weights,
        recipe.loss.class_weights_end,
        recipe.loss.dice,
        recipe.loss.label_smoothing,
        recipe.loss.alone,
        recipe.loss.auxiliary,
    )


def create_accelerator(recipe: Recipe) -> Accelerator:
    """Choose the devices and the precision of a run; without CUDA, it runs on the CPU.

    Raises:
        ConfigError: if this machine cannot compute in the requested precision, or this process already uses another.
    """
    try:
        return Accelerator(
            cpu=not torch.cuda.is_available(),
            mixed_precision=recipe.training.mixed_precision,
            gradient_accumulation_steps=recipe.training.accumulate,
        )
    except ValueError as error:
        raise ConfigError(f"training.mixed_precision '{recipe.training.mixed_precision}': {error}") from error


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Make torch use deterministic kernels where it has them, and warn where it has none."""
    before, warned = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)
