"""Names of weights that have changed since version 0.1, so that its checkpoints and run folders still load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn


def current_name(name: str, former: Mapping[str, str], prefix: str = "") -> str:
    """The name that a weight has today.

    Args:
        name: in a model's state, ``enter_rgb.0.0.weight`` for example.
        former: modules of the model, the name in version 0.1 to today's.
        prefix: what stands before the model's own names; a name without it is returned as it is.
    """
    if not name.startswith(prefix):
        return name
    module, dot, rest = name[len(prefix) :].partition(".")
    return f"{prefix}{former.get(module, module)}{dot}{rest}"


def rename_former_state(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Hook of ``load_state_dict``, for a module with ``former_names``: give the weights today's names, in place."""
    former: Mapping[str, str] = module.former_names  # type: ignore[assignment]  # torch types any attribute as a module
    for name in list(state):
        new = current_name(name, former, prefix)
        if new != name:
            state[new] = state.pop(name)
