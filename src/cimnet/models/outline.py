"""Models built without values: outlines, to compare shapes before anything is allocated, and models whose weights are
loaded next."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from math import prod
from typing import Any, Self

import torch
from torch.overrides import TorchFunctionMode

from cimnet.errors import ConfigError
from cimnet.models.base import RGBTModel
from cimnet.models.registry import create_model

_FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn}
_FILLS = {"uniform_", "normal_", "erfinv_", "mul_", "add_", "sub_", "div_", "clamp_", "fill_", "zero_", "copy_"}
_RANDOM_FILLS = {"uniform_", "normal_", "erfinv_", "trunc_normal_"} | {
    f"{scheme}_{kind}_" for scheme in ("kaiming", "xavier") for kind in ("uniform", "normal")
}
_LIBRARIES = ("timm", "segmentation_models_pytorch", "cimnet.models.zoo")
"""Modules that builders import. They are imported before an outline begins: tensors that they make must have their
data."""
_MORE_NUMBERS, _LEAST_NUMBERS = 8, 20_000_000
_MORE_TENSORS, _LEAST_TENSORS = 8, 2_000


class Outline(TorchFunctionMode):
    """Context in which new tensors have a shape but no data (the device ``meta``), and filling them does nothing.

    Building stops early if a model makes many times more or larger tensors than `numbers` and `tensors` say. While it
    is built, a network may make some that it discards, but few kinds make more than eight times as many.

    Args:
        numbers: elements of all tensors that are expected.
        tensors: how many tensors are expected.

    Raises:
        ConfigError: inside, the model is far larger.
    """

    def __init__(self, numbers: int, tensors: int) -> None:
        super().__init__()
        self.numbers = max(_MORE_NUMBERS * numbers, _LEAST_NUMBERS)
        self.tensors = max(_MORE_TENSORS * tensors, _LEAST_TENSORS)

    def __enter__(self) -> Self:
        for name in _LIBRARIES:
            importlib.import_module(name)
        super().__enter__()  # type: ignore[no-untyped-call]  # torch does not say
        return self

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in _FACTORIES and kwargs.get("device") is None:
            self._count(args[0] if args and isinstance(args[0], list | tuple) else args)
            kwargs["device"] = "meta"
        elif getattr(func, "__name__", "") in _FILLS:
            filled = _first(args, kwargs)
            if isinstance(filled, torch.Tensor) and filled.is_meta:
                return filled
        return func(*args, **kwargs)

    def _count(self, shape: Iterable[Any]) -> None:
        self.tensors -= 1
        self.numbers -= prod(side for side in shape if isinstance(side, int))
        if self.tensors < 0 or self.numbers < 0:
            raise ConfigError("it describes a model that is many times larger than the weights it holds")


class SkipInit(TorchFunctionMode):
    """Context in which random initialisation does nothing, for models whose weights are all loaded from a file next.
    Initialisation takes a third to a half of the time in which a large model is built."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        name, filled = getattr(func, "__name__", ""), _first(args, kwargs)
        if name in _RANDOM_FILLS and isinstance(filled, torch.Tensor):
            # torch's trunc_normal_ draws until all numbers lie within bounds: what memory held might never do so
            if name == "normal_":
                filled.detach().zero_()
            return filled
        return func(*args, **kwargs)


def _first(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The tensor that a function fills; torch.nn.init passes it by name."""
    return args[0] if args else kwargs.get("tensor")


def outline_model(name: str, num_classes: int, **options: Any) -> RGBTModel:
    """A model like that of :func:`cimnet.create_model`, all of it on the device ``meta``. Call it inside `Outline`.

    Raises:
        ConfigError: as `create_model`; the model is far larger than `Outline` expects.
    """
    return create_model(name, num_classes, **options).to("meta")
