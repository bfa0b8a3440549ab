"""FSDP: weights, gradients and the optimiser's state are sharded over all processes (``training.sharding: fsdp``).

All functions are collective: every process must call them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from cimnet.errors import ConfigError
from cimnet.models.state_names import current_name


def shard(module: nn.Module) -> None:
    """Shard a module over all processes, in place: each stage of its encoders by itself, then the rest.

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


def gather_weights(module: nn.Module) -> dict[str, Any]:
    """The weights of a sharded module as on one process, in every process."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    return get_model_state_dict(module, options=StateDictOptions(full_state_dict=True))


def gather_state(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The states ``module`` and ``optimizer`` as on one process, on the CPU; empty except in the first process."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    weights, state = get_state_dict(module, optimizer, options=options)
    return {"module": weights, "optimizer": state}


def load_gathered_state(
    module: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any], former_names: Mapping[str, str]
) -> None:
    """Load what :func:`gather_state` gave the first process; every process passes all of it. The optimiser's state goes
    by the names of the weights, so the model's ``former_names`` are mapped here, too."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_state_dict

    def today(name: str) -> str:
        return current_name(name, former_names, "model.")

    optimizer_state = state["optimizer"]
    set_state_dict(
        module,
        optimizer,
        model_state_dict={today(name): value for name, value in state["module"].items()},
        optim_state_dict={
            "state": {today(name): value for name, value in optimizer_state["state"].items()},
            "param_groups": [
                {**group, "params": [today(name) for name in group["params"]]}
                for group in optimizer_state["param_groups"]
            ],
        },
        options=StateDictOptions(full_state_dict=True, cpu_offload=True),
    )
