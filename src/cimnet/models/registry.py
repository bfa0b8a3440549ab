"""Models by name. To add one, write a file with a decorator; see docs/contributing/extending.md."""

from __future__ import annotations

import difflib
import fnmatch
import importlib
from collections.abc import Callable
from typing import Any

from cimnet.errors import ConfigError, one_line
from cimnet.models.base import RGBTModel
from cimnet.models.baselines.addition import Addition
from cimnet.models.baselines.parallel import ParallelNet
from cimnet.models.baselines.single import SingleStream
from cimnet.models.cimnet import CIMNet
from cimnet.models.cimnetx import CIMNetX
from cimnet.models.encoder import MIT_ENCODERS

ENCODERS = {
    **{name: name for name in ("resnet18", "resnet34", "resnet50", "resnet101")},
    **{name: name for name in MIT_ENCODERS},
    **{name: name for name in ("convnext_nano", "convnext_tiny", "convnext_tiny.dinov3_lvd1689m")},
    "efficientnet_lite0": "tf_efficientnet_lite0",
}
LIGHT: dict[str, Any] = {"widths": (32, 64, 160, 256), "decoder_channels": 128}
SMALL_ENCODERS = {"mit_b0": LIGHT, "efficientnet_lite0": LIGHT}

Builder = Callable[..., RGBTModel]
_FAMILIES: dict[str, Builder] = {}
_NETWORKS: dict[str, Builder] = {}
_ZOO = "cimnet.models.zoo"
"""The module that registers the published networks. It is imported when they are asked for, because it imports timm and
torchvision: these take seconds, and an exported file needs neither."""


def register_model(family: str) -> Callable[[Builder], Builder]:
    """Register a family of models: a class decorator, or one for a function that builds the model.

    Args:
        family: first part of the names ``FAMILY_ENCODER`` under which :func:`create_model` finds the models.

    Returns:
        A decorator. What it decorates is called as ``builder(encoder, num_classes, **options)``: ``encoder`` is a name
        for :func:`cimnet.models.encoder.create_encoder`, ``num_classes`` is K, and it returns an
        :class:`cimnet.models.RGBTModel`.
    """

    def add(builder: Builder) -> Builder:
        _FAMILIES[family] = builder
        return builder

    return add


def register_network(name: str) -> Callable[[Builder], Builder]:
    """Register a builder ``(num_classes, **options)`` for one name, of a network that has its own encoder."""

    def add(builder: Builder) -> Builder:
        _NETWORKS[name] = builder
        return builder

    return add


register_model("cimnet")(CIMNet)
register_model("cimnetx")(CIMNetX)


@register_model("early_fusion")
def _early_fusion(encoder: str, num_classes: int, **options: Any) -> RGBTModel:
    return SingleStream(encoder, num_classes, "stacked", **options)


register_model("addition")(Addition)
register_model("parallel_rectification")(ParallelNet)


@register_model("rgb_only")
def _rgb_only(encoder: str, num_classes: int, **options: Any) -> RGBTModel:
    return SingleStream(encoder, num_classes, "rgb", **options)


@register_model("thermal_only")
def _thermal_only(encoder: str, num_classes: int, **options: Any) -> RGBTModel:
    return SingleStream(encoder, num_classes, "thermal", **options)


def list_models(pattern: str = "*") -> list[str]:
    """Names for :func:`create_model`.

    Args:
        pattern: shell pattern that names must match, such as ``cimnet_*``. Default: every name.

    Returns:
        ``FAMILY_ENCODER`` for each family with each encoder listed here, then the published networks. An empty list if
        no name matches.
    """
    names = [f"{family}_{encoder}" for family in _FAMILIES for encoder in ENCODERS]
    return fnmatch.filter([*names, *_networks()], pattern)


def list_families() -> list[str]:
    """Families, each of which has a model with every encoder."""
    return list(_FAMILIES)


def list_networks() -> list[str]:
    """List the names in :func:`list_models` that were registered as one network, with an encoder of its own."""
    return list(_networks())


def _networks() -> dict[str, Builder]:
    importlib.import_module(_ZOO)
    return _NETWORKS


def create_model(name: str, num_classes: int, **options: Any) -> RGBTModel:
    """Build a model by name. Its weights are random, apart from encoders with ``pretrained=True``.

    Args:
        name: one of :func:`list_models`, or ``FAMILY_ENCODER`` with any encoder that
            :func:`cimnet.models.encoder.create_encoder` knows, for example ``cimnet_swin_tiny_patch4_window7_224``.
        num_classes: K, the number of classes, at least 2. The ignored label 255 is not one of them.
        options: keyword arguments of the model's class. All models with two encoders take, among others, ``pretrained``
            (ImageNet weights for the encoders, downloaded on first use; default False), ``widths`` (channels of the
            four stages), ``decoder_channels`` and ``thermal_channels`` (C, channels of the second image, default 1).
            What is not given keeps the default of the name: narrow widths for ``mit_b0`` and ``efficientnet_lite0``,
            the paper's for all other encoders.

    Returns:
        A ``torch.nn.Module`` on the CPU, in float32 and training mode. ``model(rgb, thermal)`` takes images (B, 3, H,
        W) and (B, C, H, W) in 0..1 and returns :class:`cimnet.models.Output`; ``model.predict(rgb, thermal)`` returns
        class ids (B, H, W).

    Raises:
        ConfigError: the name is unknown, there are fewer than 2 classes, or an option is not one of the model or is out
            of range.
    """
    family = max((f for f in _FAMILIES if name.startswith(f + "_")), key=len, default="")
    if not family and name not in _networks():
        near = difflib.get_close_matches(name, list_models(), n=3)
        hint = f"did you mean {', '.join(near)}?" if near else "see `cimnet models`"
        raise ConfigError(f"model '{name}' is unknown: {hint}")
    if num_classes < 2:
        raise ConfigError(f"num_classes is {num_classes}, but a segmentation model needs at least 2")
    try:
        if name in _NETWORKS:
            return _NETWORKS[name](num_classes, **options)
        encoder = name[len(family) + 1 :]
        options = {**SMALL_ENCODERS.get(encoder, {}), **options}
        return _FAMILIES[family](ENCODERS.get(encoder, encoder), num_classes, **options)
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: torch cannot allocate such layers
        reason = one_line(error)
        raise ConfigError(f"model '{name}' cannot be built with {options}: {reason}") from error
