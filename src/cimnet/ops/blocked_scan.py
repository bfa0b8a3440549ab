"""The selective scan in plain torch, block by block, as an operator with its own backward pass.

Time is the outermost axis, the rows of a group the innermost, and the states lie between them: then every operation
works on long stretches of memory, and reading the states out is a product of matrices. A block of steps is small enough
to stay in a CPU's cache. On CUDA, where each call costs more than what it computes, blocks are long, and their pieces
advance side by side and are joined afterwards.

Shapes: u, delta, y (L, N, G, R); A (G, S, R); B, C (L, N, G, S); D, delta_bias (G, R); states (N, G, S, R).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

SEGMENT = 64
"""Steps between two states that are kept for the backward pass, on a CPU."""
CACHED = 2**18
"""Values of one block of states on a CPU: with its decays 2 MiB in float32."""
LANES = 32
"""Pieces of a block that advance side by side on CUDA."""
ON_CUDA = 2**25
"""Values of one block of states on CUDA: 128 MiB in float32, and two to four such buffers are held."""
LINEAR_FROM = 20.0
"""Above it, softplus is the identity, as in torch and in the original."""

_INPUTS = "Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor D, Tensor delta_bias"
_GRADIENTS = "(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)"


def scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor) -> Tensor:
    """y of the recurrence in :mod:`cimnet.ops.selective_scan`, float32 or float64."""
    inputs = (u, delta, A, B, C, D, delta_bias)
    learns = torch.is_grad_enabled() and any(x.requires_grad for x in inputs)
    y: Tensor = _forward(*inputs, learns)[0]
    return y


@torch.library.custom_op(
    "cimnet::selective_scan", mutates_args=(), schema=f"({_INPUTS}, bool keep_states) -> (Tensor, Tensor)"
)
def _forward(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor, keep_states: bool
) -> tuple[Tensor, Tensor]:
    """y, and with ``keep_states`` the state before each segment (segments, N, G, S, R)."""
    u, delta, A, B, C = (x.contiguous() for x in (u, delta, A, B, C))
    length, rows, states = u.shape[0], u.shape[3], A.shape[1]
    block, segment, lanes = _lengths(u, states)
    y, kept = _empty_results(u, A, keep_states)
    state = u.new_zeros(kept.shape[1:])
    decay = u.new_empty(min(block, length), *state.shape)
    inside = torch.empty_like(decay)
    with torch.autocast(u.device.type, enabled=False):
        for start in range(0, length, block):
            if keep_states and start % segment == 0:
                kept[start // segment] = state
            now = slice(start, min(start + block, length))
            a, h = decay[: now.stop - start], inside[: now.stop - start]
            _fill(a, h, F.softplus(delta[now] + delta_bias), u[now], A, B[now])
            state.copy_(_recur(a, h, state, lanes))
            torch.bmm(C[now].reshape(-1, 1, states), h.view(-1, states, rows), out=y[now].view(-1, 1, rows))
        return y.addcmul_(u, D), kept


@torch.library.custom_op(
    "cimnet::selective_scan_backward",
    mutates_args=(),
    schema=f"(Tensor upstream, {_INPUTS}, Tensor kept) -> {_GRADIENTS}",
)
def _backward(
    upstream: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor,
    kept: Tensor,
) -> tuple[Tensor, ...]:
    """Gradients by the seven inputs from that by y, segment by segment from the last to the first.

    With g the gradient by the states: g[t] = C[t]·dy[t] + exp(Δ[t+1]·A)·g[t+1].
    """
    upstream, u, delta, A, B, C = (x.contiguous() for x in (upstream, u, delta, A, B, C))
    length, rows, states = u.shape[0], u.shape[3], A.shape[1]
    _, segment, lanes = _lengths(u, states)
    by_u, by_delta, by_A, by_B, by_C = (x.new_empty(x.shape) for x in (u, delta, A, B, C))
    by_A.zero_()
    decay = u.new_empty(min(segment, length) + 1, *kept.shape[1:])
    inside, gradient, product = (torch.empty_like(decay[1:]) for _ in range(3))
    later, later_decay = torch.zeros_like(kept[0]), torch.zeros_like(kept[0])  # of the step after the segment
    with torch.autocast(u.device.type, enabled=False):
        for index in reversed(range(len(kept))):
            now = slice(index * segment, min((index + 1) * segment, length))
            count = now.stop - now.start
            a, h, g = decay[:count], inside[:count], gradient[:count]
            raw, outer = delta[now] + delta_bias, upstream[now]
            step = F.softplus(raw)
            _fill(a, h, step, u[now], A, B[now])
            _recur(a, h, kept[index], lanes)
            decay[count] = later_decay
            torch.mul(C[now].unsqueeze(4), outer.unsqueeze(3), out=g)
            later.copy_(_recur(decay[1 : count + 1], g, later, lanes, reverse=True))
            later_decay.copy_(a[0])
            flat = (-1, states, rows)
            by_C[now] = torch.bmm(h.view(flat), outer.reshape(-1, rows, 1)).view(C[now].shape)
            by_B[now] = torch.bmm(g.view(flat), (step * u[now]).view(-1, rows, 1)).view(B[now].shape)
            into = torch.bmm(B[now].reshape(-1, 1, states), g.view(flat)).view(step.shape)  # by Δ·u
            a[0].mul_(kept[index])  # by Δ·A it is exp(Δ·A) · the state before · g
            a[1:].mul_(h[:-1])
            a.mul_(g)
            by_A += torch.mul(a, step.unsqueeze(3), out=product[:count]).sum((0, 1))
            by_step = torch.mul(a, A, out=product[:count]).sum(3).addcmul_(u[now], into)
            by_u[now] = into * step
            by_delta[now] = by_step * torch.where(raw > LINEAR_FROM, 1.0, raw.sigmoid())
        by_D, by_bias = (upstream * u).sum((0, 1)), by_delta.sum((0, 1))
        return by_u.addcmul_(upstream, D), by_delta, by_A, by_B, by_C, by_D, by_bias


def _fill(decay: Tensor, inside: Tensor, step: Tensor, u: Tensor, A: Tensor, B: Tensor) -> None:
    """exp(Δ·A) and Δ·B·u of some steps."""
    torch.mul(step.unsqueeze(3), A, out=decay).exp_()
    torch.mul((step * u).unsqueeze(3), B.unsqueeze(4), out=inside)


def _recur(factor: Tensor, value: Tensor, first: Tensor, lanes: int, reverse: bool = False) -> Tensor:
    """Compute value[t] += factor[t] · value[t−1] in place, with ``first`` before the first value. Returns the last
    value.

    Args:
        lanes: pieces that advance side by side; the remaining steps follow one by one.
        reverse: value[t] += factor[t] · value[t+1] from the last to the first.
    """
    whole = len(value) - len(value) % lanes
    parts = [(slice(0, whole), lanes), (slice(whole, None), 1)]
    for part, pieces in reversed(parts) if reverse else parts:
        if len(value[part]):
            first = _recur_pieces(factor[part], value[part], first, pieces, reverse)
    return first


def _recur_pieces(factor: Tensor, value: Tensor, first: Tensor, pieces: int, reverse: bool) -> Tensor:
    order, head, end = (-1, -1, 0) if reverse else (1, 0, -1)
    factor, value = (x.view(pieces, -1, *first.shape) for x in (factor, value))
    factors, values = factor.unbind(1)[::order], value.unbind(1)[::order]  # by step, of all pieces
    values[0][head].addcmul_(factors[0][head], first)
    for before, now, by in zip(values, values[1:], factors[1:], strict=False):
        now.addcmul_(by, before)
    if pieces == 1:
        return values[-1][0]
    through = factor.clone()  # the factor of the value before a piece
    for before, now in pairwise(through.unbind(1)[::order]):
        now.mul_(before)
    joined = value.unbind(0)[::order]
    for before, now, by in zip(joined, joined[1:], through.unbind(0)[::order][1:], strict=False):
        now.addcmul_(by, before[end])
    return joined[-1][end]


def _lengths(u: Tensor, states: int) -> tuple[int, int, int]:
    """Steps of a block, steps of a segment, which is a whole number of blocks, and lanes."""
    values = u[0].numel() * states
    if u.device.type == "cpu":
        most = max(2, CACHED // values)
        return min(SEGMENT, 2 ** (most.bit_length() - 1)), SEGMENT, 1
    steps = max(1, min(len(u), ON_CUDA // values) // LANES) * LANES
    return steps, steps, LANES


def _empty_results(u: Tensor, A: Tensor, keep_states: bool) -> tuple[Tensor, Tensor]:
    segments = -(-len(u) // _lengths(u, A.shape[1])[1]) if keep_states else 0
    kept = u.new_empty(segments, *u.shape[1:3], A.shape[1], u.shape[3])
    return u.new_empty(u.shape), kept


@_forward.register_fake
def _(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor, keep_states: bool
) -> tuple[Tensor, Tensor]:
    return _empty_results(u, A, keep_states)


@_backward.register_fake
def _(upstream: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return tuple(x.new_empty(x.shape) for x in inputs[:7])


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.set_materialize_grads(False)  # none for the states
    ctx.save_for_backward(*inputs[:7], output[1])


def _differentiate(ctx: Any, upstream: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
    if upstream is None:
        return (None,) * 8
    return (*_backward(upstream, *ctx.saved_tensors), None)


_forward.register_autograd(_differentiate, setup_context=_save)
