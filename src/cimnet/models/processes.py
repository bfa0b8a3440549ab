"""Sums over all processes of a distributed run, with their gradient."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor


def process_count() -> int:
    """Processes of the run, 1 outside of one."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def sum_over_processes(x: Tensor) -> Tensor:
    """The sum of ``x`` over all processes, the same in each; the gradient reaches every process's own ``x``."""
    if process_count() == 1:
        return x
    from torch.distributed.nn.functional import all_reduce  # not importable where torch has no distributed part

    return all_reduce(x)  # type: ignore[no-untyped-call]  # untyped in torch
