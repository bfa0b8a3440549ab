"""The selective scan of state-space models with one interface and three implementations.

    h[t] = exp(Δ[t]·A) · h[t−1] + Δ[t]·B[t]·u[t],    y[t] = C[t]·h[t] + D·u[t],    Δ = softplus(delta + delta_bias)

``blocked`` is plain torch and an operator of its own: a block of steps at a time, so that memory does not grow with
length × states, and with its own backward pass, which computes the states of a block again from the one before it.
``mamba_ssm`` is the fused CUDA kernel of the package of that name. ``sequential`` is the definition above, step by
step, for tests. All give the same values and gradients. Measurements: docs/notebook/zoo.md.

Source: Gu and Dao, "Mamba: Linear-time sequence modeling with selective state spaces", COLM 2024 (A by zero-order hold,
B by Euler's rule).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from cimnet.ops import blocked_scan

Implementation = Literal["sequential", "blocked", "mamba_ssm"]
_CHOSEN: ContextVar[Implementation | None] = ContextVar("implementation", default=None)


@contextmanager
def use_implementation(implementation: Implementation) -> Iterator[None]:
    """Context in which scans use this implementation unless they name another one."""
    token = _CHOSEN.set(implementation)
    try:
        yield
    finally:
        _CHOSEN.reset(token)


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor,
    implementation: Implementation | None = None,
) -> Tensor:
    """Run a linear recurrence whose step sizes, inputs and outputs depend on the sequence.

    The names and shapes are those of ``mamba_ssm.ops.selective_scan_interface.selective_scan_fn``. Row g·R + r belongs
    to group g. The layout in memory is free; ``blocked`` copies nothing where time is the outermost axis.

    Args:
        u: sequences (N, G·R, L).
        delta: step sizes before bias and softplus, (N, G·R, L).
        A: (G·R, S), negative, S states.
        B, C: what goes into the states and what is read out, (N, G, S, L).
        D: (G·R,), the direct path from input to output.
        delta_bias: (G·R,).
        implementation: by default that of :func:`use_implementation`, else ``mamba_ssm`` on CUDA where the package is
            installed, and ``blocked`` elsewhere and in float64, which the kernel does not take.

    Returns:
        y (N, G·R, L), float32 for half-precision inputs: everything is computed in float32 or better.

    Raises:
        ValueError: if a shape does not fit the others, or the sequences are empty.
    """
    _check(u, delta, A, B, C, D, delta_bias)
    if implementation is None:
        implementation = _CHOSEN.get() or ("mamba_ssm" if _suits_kernel(u) and _has_kernel() else "blocked")
    u, delta, A, B, C, D, delta_bias = (at_least_float32(x) for x in (u, delta, A, B, C, D, delta_bias))
    if implementation == "mamba_ssm":
        return _by_kernel(u, delta, A, B, C, D, delta_bias)
    run = _by_steps if implementation == "sequential" else blocked_scan.scan
    batch, groups, states, length = B.shape
    rows = A.shape[0] // groups
    y = run(
        u.permute(2, 0, 1).reshape(length, batch, groups, rows),
        delta.permute(2, 0, 1).reshape(length, batch, groups, rows),
        A.reshape(groups, rows, states).transpose(1, 2),
        B.permute(3, 0, 1, 2),
        C.permute(3, 0, 1, 2),
        D.reshape(groups, rows),
        delta_bias.reshape(groups, rows),
    )
    return y.flatten(2).permute(1, 2, 0)


def at_least_float32(x: Tensor) -> Tensor:
    """The tensor, widened if its precision is half."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _check(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor) -> None:
    fits = (
        u.ndim == 3
        and B.ndim == 4
        and A.ndim == 2
        and delta.shape == u.shape
        and B.shape == C.shape
        and (B.shape[0], B.shape[2], B.shape[3]) == (u.shape[0], A.shape[1], u.shape[2])
        and A.shape[0] == u.shape[1]
        and A.shape[0] % B.shape[1] == 0
        and D.shape == delta_bias.shape == (u.shape[1],)
    )
    if not fits:
        names = ("u", "delta", "A", "B", "C", "D", "delta_bias")
        shapes = zip(names, (u, delta, A, B, C, D, delta_bias), strict=True)
        found = ", ".join(f"{name} {tuple(x.shape)}" for name, x in shapes)
        raise ValueError(
            f"shapes do not fit together: {found}; expected u and delta (N, G·R, L), A (G·R, S), B and C (N, G, S, L), "
            "D and delta_bias (G·R,)"
        )
    if u.shape[2] == 0:
        raise ValueError("the sequences are empty")


def _suits_kernel(u: Tensor) -> bool:
    return u.device.type == "cuda" and u.dtype != torch.float64


@cache
def _has_kernel() -> bool:
    return importlib.util.find_spec("mamba_ssm") is not None


def _by_kernel(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor) -> Tensor:
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    u, delta, B, C = (x.contiguous() for x in (u, delta, B, C))
    with torch.autocast(u.device.type, enabled=False):
        y: Tensor = selective_scan_fn(u, delta, A, B, C, D, delta_bias=delta_bias, delta_softplus=True)
    return y


def _by_steps(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor) -> Tensor:
    """The definition. Shapes as :func:`cimnet.ops.blocked_scan.scan`."""
    step = F.softplus(delta + delta_bias)
    state = torch.zeros_like(step[0].unsqueeze(2) * A)
    y = []
    for now in range(len(u)):
        size = step[now].unsqueeze(2)
        state = torch.exp(size * A) * state + size * B[now].unsqueeze(3) * u[now].unsqueeze(2)
        y.append((C[now].unsqueeze(3) * state).sum(2) + D * u[now])
    return torch.stack(y)
