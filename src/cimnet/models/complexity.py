"""The cost of a model: parameters and multiply-accumulate operations (MACs), by module."""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from cimnet.models.base import RGBTModel
from cimnet.models.decoder import MLPDecoder
from cimnet.utils.memory import peak_memory

TRAINING_ONLY = re.compile(r"(^|\.)mi_head\.")  # modules that inference and exported models leave out
CONVENTION = (
    "MACs of one pair by torch.utils.flop_counter: convolutions, linear layers and attention products, and of a "
    "deformable convolution the kernel's products; not interpolation, normalisation, activations and pooling. "
    "The mutual-information head, used in training only, is left out of both columns. Layers are counted as "
    "published."
)


@dataclass(frozen=True)
class Budget:
    """Cost of a model at one image size, without what only training uses.

    Attributes:
        size: (height, width) of the images.
        parameters, macs: totals of the layers as published; the modules' values add up to them.
        macs_run: MACs of what runs: the same numbers with less arithmetic, see :mod:`cimnet.models.decoder`.
        modules: by module, (parameters, MACs); numbers of list entries in the names are written ``*``.
        training_parameters: parameters of what was left out.
        trained_parameters: parameters that training changes: all of them, or those outside frozen encoders.
    """

    size: tuple[int, int]
    parameters: int
    macs: int
    macs_run: int
    modules: dict[str, tuple[int, int]]
    training_parameters: int
    trained_parameters: int

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``cimnet info --json``."""
        return {
            "parameters": self.parameters,
            "macs": self.macs,
            "macs_run": self.macs_run,
            "modules": {name: {"parameters": p, "macs": m} for name, (p, m) in self.modules.items()},
            "training_parameters": self.training_parameters,
            "trained_parameters": self.trained_parameters,
            "size": list(self.size),
            "convention": CONVENTION,
        }


def measure_budget(model: RGBTModel, size: tuple[int, int], depth: int = 1) -> Budget:
    """Count a model's parameters and MACs for one pair. Only shapes are computed, so it takes a second or two.

    Args:
        size: (height, width) of the images, at least 1.
        depth: parts of a module's name that are kept: 1 gives ``scsfr``, 3 ``scsfr.*.spatial``.
    """
    counted = copy.deepcopy(model).cpu().eval()
    counted.drop_whole = lambda masks: (None,) * len(masks)  # type: ignore[method-assign]  # shapes alone do not tell
    macs_run = _count(counted, size)[""]
    for module in counted.modules():
        if isinstance(module, MLPDecoder):
            module.as_published = True
    inclusive = _count(counted, size)
    total = inclusive.pop("")
    macs_of = _own(inclusive)
    modules: dict[str, list[int]] = {}
    left_out = 0
    for name, parameter in model.named_parameters():
        if TRAINING_ONLY.search(name):
            left_out += parameter.numel()
        else:
            modules.setdefault(_shorten(name.rpartition(".")[0] or "forward", depth), [0, 0])[0] += parameter.numel()
    for name, macs in macs_of.items():
        modules.setdefault(_shorten(name, depth), [0, 0])[1] += macs
    table = {name: (counts[0], counts[1]) for name, counts in modules.items()}
    return Budget(size, sum(p for p, _ in table.values()), total, macs_run, table, left_out, count_trained(model))


def count_trained(model: nn.Module) -> int:
    """Count the parameters that training changes."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def describe_trained(model: nn.Module) -> str:
    """The same in words, beside the number of all parameters."""
    total = sum(parameter.numel() for parameter in model.parameters())
    return f"training changes {count_trained(model) / 1e6:.2f} M of {total / 1e6:.2f} M parameters"


def _count(model: RGBTModel, size: tuple[int, int]) -> dict[str, int]:
    """MACs by module, including all that it calls; the total has an empty name."""
    counter = FlopCounterMode(display=False)
    # Fused attention has kernels that the counter does not know; written out, it is two matrix products.
    written_out = sdpa_kernel(SDPBackend.MATH)
    with torch.no_grad(), written_out, FakeTensorMode(allow_non_fake_inputs=True), counter:
        model(torch.empty(1, 3, *size), torch.empty(1, model.thermal_channels, *size))
    flops: dict[str, dict[Any, int]] = counter.get_flop_counts()
    total = sum(flops.pop("Global", {}).values()) // 2
    return {"": total, **{name: sum(ops.values()) // 2 for name, ops in flops.items()}}


def _own(inclusive: dict[str, int]) -> dict[str, int]:
    """Turn MACs of modules including all they call, named ``Model.a.b``, into those of each module itself, named
    ``a.b``; those of the model's own ``forward`` are named ``forward``."""
    own = dict(inclusive)
    for name, macs in inclusive.items():
        parent = name.rpartition(".")[0]
        while parent and parent not in inclusive:  # lists of modules are not called, so they are not counted
            parent = parent.rpartition(".")[0]
        if parent:
            own[parent] -= macs
    return {name.partition(".")[2] or "forward": macs for name, macs in own.items() if macs}


def _shorten(name: str, depth: int) -> str:
    parts = ["*" if part.isdigit() else part for part in name.split(".")]
    return ".".join(parts[:depth]).removesuffix(".*")


def measure_run(model: RGBTModel, size: tuple[int, int], device: torch.device, repeats: int = 5) -> dict[str, float]:
    """Latency and peak memory of one pair on a device.

    Returns:
        ``latency_ms``: the fastest of ``repeats`` runs after one to warm up, in milliseconds; ``peak_memory_mib``: on
        CUDA the most that torch held, elsewhere the largest resident size of this process so far, weights and
        libraries included.
    """
    model = model.to(device).eval()
    channels = model.thermal_channels
    rgb, thermal = torch.rand(1, 3, *size, device=device), torch.rand(1, channels, *size, device=device)
    wait: Callable[[], None] = torch.cuda.synchronize if device.type == "cuda" else _nothing
    times = []
    for _ in range(repeats + 1):
        wait()
        started = time.perf_counter()
        model.predict(rgb, thermal)
        wait()
        times.append(time.perf_counter() - started)
    peak = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else peak_memory()
    return {"latency_ms": 1000 * min(times[1:]), "peak_memory_mib": peak}


def _nothing() -> None:
    pass
