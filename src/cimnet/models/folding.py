"""A model made cheaper for inference, with the same outputs up to rounding: its weights are multiplied once, at load.

A batch normalisation in evaluation mode scales and shifts each channel, so it goes into the weights of the convolution
before it. The decoder's products of matrices (:mod:`cimnet.models.decoder`) become weights, too.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cimnet.models.base import RGBTModel
from cimnet.models.decoder import MLPDecoder
from cimnet.models.staged_encoder import FirstStage

_REPLACED = {"forward", "predict"}


class _Tracer(fx.Tracer):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.traced_func_name = "compute" if isinstance(module, FirstStage) else "forward"

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.Conv2d | _BatchNorm) or super().is_leaf_module(m, module_qualified_name)


@torch.no_grad()
def fold_for_inference(model: RGBTModel) -> RGBTModel:
    """A copy in evaluation mode, whose batch normalisations behind a convolution and whose decoder are folded.

    Weights that stay as they are belong to both models; ``model`` is not changed. The copy cannot be trained, and has
    other weights than a checkpoint.
    """
    memo: dict[int, Any] = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    folded = copy.deepcopy(model, memo).eval()
    times = Counter(id(module) for _, module in folded.named_modules(remove_duplicate=False))
    for parent, conv, norm in list(_pairs(folded)):
        if times[id(parent.get_submodule(conv))] == times[id(parent.get_submodule(norm))] == 1:
            _fold(parent, conv, norm)
    for module in list(folded.modules()):
        for name, child in module.named_children():
            if isinstance(child, MLPDecoder):
                setattr(module, name, child.folded())
    return folded


def _pairs(module: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    """(module, name of a convolution in it, name of the normalisation that is the only user of its output)."""
    try:
        graph = _Tracer(module).trace(module)
    except Exception:  # what cannot be traced, for one of many reasons, may hold modules that can
        for child in module.children():
            yield from _pairs(child)
        return
    used = Counter(node.target for node in graph.nodes if node.op == "call_module")
    for node in graph.nodes:
        if node.op != "call_module" or not isinstance(module.get_submodule(node.target), _BatchNorm):
            continue
        before = node.args[0]
        if before.op == "call_module" and len(before.users) == used[before.target] == used[node.target] == 1:
            conv, norm = module.get_submodule(before.target), module.get_submodule(node.target)
            if isinstance(conv, nn.Conv2d) and norm.track_running_stats:
                yield module, before.target, node.target


def _fold(module: nn.Module, conv: str, norm: str) -> None:
    """Fold a normalisation into a convolution. The activation of timm's normalisations is kept."""
    old: Any = module.get_submodule(norm)
    before: Any = module.get_submodule(conv)
    module.set_submodule(conv, fuse_conv_bn_eval(before, old))
    rest = [part for name in ("drop", "act") if (part := getattr(old, name, None)) is not None]
    module.set_submodule(norm, nn.Sequential(*rest) if rest else nn.Identity())


class FoldedModel:
    """The folded copy of a model that may still change. It is made when it is first needed, and again after weights or
    modules have changed. (Writes through ``tensor.data`` are not seen: torch does not count them.)

    Args:
        model: in evaluation mode.
    """

    def __init__(self, model: RGBTModel) -> None:
        self.model = model
        self._made_of: tuple[object, ...] = ()
        self._tensors: list[Tensor] = []  # kept, so that their addresses stay theirs
        self._copy = model

    def get(self) -> RGBTModel:
        """The copy; the model itself while it is in training mode or has hooks or replaced methods, which the copy
        would not call."""
        modules: list[nn.Module] = []
        tensors: list[Tensor] = []
        waiting: list[nn.Module] = [self.model]
        while waiting:  # this runs before each pass; Module.parameters() would take five times as long
            module = waiting.pop()
            own = vars(module)
            if own["training"] or own["_forward_hooks"] or own["_forward_pre_hooks"] or _REPLACED & own.keys():
                return self.model
            modules.append(module)
            tensors += [
                tensor for tensor in (*own["_parameters"].values(), *own["_buffers"].values()) if tensor is not None
            ]
            waiting += [child for child in own["_modules"].values() if child is not None]
        try:
            versions = [tensor._version for tensor in tensors]
        except RuntimeError:  # made in inference mode: torch does not count their changes
            return self.model
        numbers = {key: value for key, value in vars(self.model).items() if isinstance(value, bool | int | float)}
        made_of = (numbers, versions, modules, list(map(id, tensors)))
        if made_of != self._made_of:
            self._copy, self._made_of, self._tensors = fold_for_inference(self.model), made_of, tensors
        return self._copy
