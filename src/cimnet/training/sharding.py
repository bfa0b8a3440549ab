"""FSDP: weights, gradients and the optimiser's state lie in shares on all processes (``training.sharding: fsdp``).

All functions are collective: every process calls them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from cimnet.errors import ConfigError


def shard(module: nn.Module) -> None:
    """Share out a module between all processes, in place: each stage of its encoders by itself, then the rest.

    Raises:
        ConfigError: there is no distributed run.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        raise ConfigError("training.sharding: fsdp needs several processes; start with `accelerate launch` or torchrun")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    mesh = init_device_mesh(device, (torch.distributed.get_world_size(),))
    for name, part in module.named_modules():
        if "encoder" in name and name.rpartition(".")[0].endswith("stages"):
            fully_shard(part, mesh=mesh)
    fully_shard(module, mesh=mesh)


def whole_weights(module: nn.Module) -> dict[str, Any]:
    """The state of a shared-out module as on one process, in each process."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    return get_model_state_dict(module, options=StateDictOptions(full_state_dict=True))


def collect_shares(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """``module`` and ``optimizer`` as on one process, on the CPU; empty ones on all but the first process."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    weights, state = get_state_dict(module, optimizer, options=options)
    return {"module": weights, "optimizer": state}


def restore_shares(module: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Put what :func:`collect_shares` gave the first process back; every process has it whole."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_state_dict

    set_state_dict(
        module,
        optimizer,
        model_state_dict=state["module"],
        optim_state_dict=state["optimizer"],
        options=StateDictOptions(full_state_dict=True, cpu_offload=True),
    )
