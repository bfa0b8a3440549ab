"""Selective scans over maps, the blocks of Sigma: one map in four directions (SS2D), and a pair of maps.

Maps are (B, H, W, C), channels last. Sequences are (L, B, G, D), time first, G of them at once, so that one scan runs
all directions and both sensors (see :mod:`cimnet.ops.blocked_scan`).

Source: Wan et al., "Sigma: Siamese Mamba network for multi-modal semantic segmentation", WACV 2025; the block of one
map is that of Liu et al., "VMamba: Visual state space model", NeurIPS 2024.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cimnet.ops.selective_scan import at_least_float32, selective_scan

LEAST_STEP, LARGEST_STEP, STEP_FLOOR = 1e-3, 1e-1, 1e-4
"""Range of the step sizes Δ that training starts with."""


class SS2D(nn.Module):
    """A map scanned by rows and by columns, there and back; gated by itself.

    Args:
        width: C. Inside it is D = 2·C.
        states: S of each of the scans' D rows.
    """

    def __init__(self, width: int, states: int) -> None:
        super().__init__()
        inner, rank = 2 * width, step_rank(width)
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.conv2d = _depthwise(inner)
        self.x_proj_weight = _projection(4, rank + 2 * states, inner)
        self.dt_projs_weight = _step_projection(4, inner, rank)
        self.dt_projs_bias = _step_bias(4, inner)
        self.A_logs, self.Ds = _decay(4 * inner, states), nn.Parameter(torch.ones(4 * inner))
        self.out_norm = nn.LayerNorm(inner)
        self.out_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to the same."""
        inside, gate = self.in_proj(x).chunk(2, -1)
        u = F.silu(_convolve(self.conv2d, inside))
        rows, columns = _by_rows(u), _by_rows(u.transpose(1, 2).contiguous())
        sequences = torch.stack((rows, columns, rows.flip(0), columns.flip(0)), 2)
        y = scan_sequences(
            sequences, self.x_proj_weight, self.dt_projs_weight, self.dt_projs_bias, self.A_logs, self.Ds
        )
        by_rows, by_columns = (y[:, :, k] + y[:, :, k + 2].flip(0) for k in range(2))
        height, width = x.shape[1:3]
        merged = _to_map(by_rows, height, width) + _to_map(by_columns, width, height).transpose(1, 2)
        return self.out_proj(self.out_norm(merged) * F.silu(gate))


class CrossScan(nn.Module):
    """The parameters of the cross block's two scans. Index 1 belongs to the RGB stream, 2 to the thermal one."""

    def __init__(self, inner: int, rank: int, states: int) -> None:
        super().__init__()
        self.x_proj_1 = nn.Linear(inner, rank + 2 * states, bias=False)
        self.x_proj_2 = nn.Linear(inner, rank + 2 * states, bias=False)
        self.dt_proj_1, self.dt_proj_2 = (nn.Linear(rank, inner) for _ in range(2))
        for step in (self.dt_proj_1, self.dt_proj_2):
            step.weight = nn.Parameter(_step_projection(1, inner, rank).detach()[0])
            step.bias = nn.Parameter(_step_bias(1, inner).detach()[0])
        self.A_log_1, self.A_log_2 = _decay(inner, states), _decay(inner, states)
        self.D_1, self.D_2 = nn.Parameter(torch.ones(inner)), nn.Parameter(torch.ones(inner))
        self.out_norm_1, self.out_norm_2 = nn.LayerNorm(inner), nn.LayerNorm(inner)

    def forward(self, rgb: Tensor, thermal: Tensor) -> tuple[Tensor, Tensor]:
        """Two maps (B, H, W, D) to two. Each stream's states are read out by the other stream's C."""
        y = scan_sequences(
            torch.stack((_by_rows(rgb), _by_rows(thermal)), 2),
            torch.stack((self.x_proj_1.weight, self.x_proj_2.weight)),
            torch.stack((self.dt_proj_1.weight, self.dt_proj_2.weight)),
            torch.stack((self.dt_proj_1.bias, self.dt_proj_2.bias)),
            torch.cat((self.A_log_1, self.A_log_2)),
            torch.cat((self.D_1, self.D_2)),
            crossed=True,
        )
        height, width = rgb.shape[1:3]
        rgb, thermal = (_to_map(y[:, :, stream], height, width) for stream in range(2))
        return self.out_norm_1(rgb), self.out_norm_2(thermal)


class CrossMamba(nn.Module):
    """The cross block (CroMB): what one stream's scan has gathered is read out by what the other stream shows."""

    def __init__(self, width: int, states: int) -> None:
        super().__init__()
        inner = 2 * width
        self.in_proj, self.in_proj_modalx = (nn.Linear(width, inner, bias=False) for _ in range(2))
        self.conv2d = _depthwise(inner)
        self.scan = CrossScan(inner, step_rank(width), states)
        self.out_proj_rgb, self.out_proj_e = (nn.Linear(inner, width, bias=False) for _ in range(2))

    def forward(self, rgb: Tensor, thermal: Tensor) -> tuple[Tensor, Tensor]:
        """Two maps (B, H, W, C) to two."""
        inside = torch.cat((self.in_proj(rgb), self.in_proj_modalx(thermal)))
        from_rgb, from_thermal = self.scan(*halves(F.silu(_convolve(self.conv2d, inside)), rgb.shape[0]))
        return rgb + self.out_proj_rgb(from_rgb), thermal + self.out_proj_e(from_thermal)


class ConcatMamba(nn.Module):
    """The concat block (ConMB): both maps in one sequence, RGB first, scanned there and back; each stream's result is
    gated by the other's channels. Two maps become one."""

    def __init__(self, width: int, states: int) -> None:
        super().__init__()
        inner, rank = 2 * width, step_rank(width)
        self.in_proj, self.in_proj_modalx = (nn.Linear(width, inner, bias=False) for _ in range(2))
        self.conv2d, self.conv2d_modalx = _depthwise(inner), _depthwise(inner)
        self.x_proj_weight = _projection(2, rank + 2 * states, inner)
        self.dt_projs_weight = _step_projection(2, inner, rank)
        self.dt_projs_bias = _step_bias(2, inner)
        self.A_logs, self.Ds = _decay(2 * inner, states), nn.Parameter(torch.ones(2 * inner))
        self.out_norm1, self.out_norm2 = nn.LayerNorm(inner), nn.LayerNorm(inner)
        self.fc1, self.fc2 = _channel_gate(inner), _channel_gate(inner)
        self.out_proj = nn.Linear(2 * inner, width, bias=False)

    def forward(self, rgb: Tensor, thermal: Tensor) -> Tensor:
        """Two maps (B, H, W, C) to one."""
        inside_rgb, inside_thermal = self.in_proj(rgb), self.in_proj_modalx(thermal)
        forth = torch.cat(
            (
                _by_rows(F.silu(_convolve(self.conv2d, inside_rgb))),
                _by_rows(F.silu(_convolve(self.conv2d_modalx, inside_thermal))),
            )
        )
        y = scan_sequences(
            torch.stack((forth, forth.flip(0)), 2),
            self.x_proj_weight,
            self.dt_projs_weight,
            self.dt_projs_bias,
            self.A_logs,
            self.Ds,
        )
        height, width = rgb.shape[1:3]
        both = halves(y[:, :, 0] + y[:, :, 1].flip(0), height * width)
        from_rgb, from_thermal = (_to_map(part, height, width) for part in both)
        gate_rgb, gate_thermal = _gate(self.fc1, inside_rgb), _gate(self.fc2, inside_thermal)
        gated = torch.cat((self.out_norm1(from_rgb) * gate_thermal, self.out_norm2(from_thermal) * gate_rgb), -1)
        return rgb + thermal + self.out_proj(gated)


def scan_sequences(
    u: Tensor,
    x_proj: Tensor,
    dt_proj: Tensor,
    dt_bias: Tensor,
    A_log: Tensor,
    D: Tensor,
    crossed: bool = False,
) -> Tensor:
    """Selective scans of G sequences, each with weights of its own.

    Args:
        u: (L, B, G, D).
        x_proj: (G, R + 2·S, D), what gives the step's R numbers, B and C of each position.
        dt_proj, dt_bias: (G, D, R) and (G, D), from these numbers to Δ before softplus.
        A_log, D: (G·D, S) and (G·D,), the decay −exp(A_log) and the direct path from input to output.
        crossed: the two sequences take each other's C.

    Returns:
        (L, B, G, D).
    """
    length, batch, groups, rows = u.shape
    rank, states = dt_proj.shape[2], A_log.shape[1]
    projected = torch.bmm(u.permute(2, 0, 1, 3).flatten(1, 2), x_proj.transpose(1, 2))  # (G, L·B, R + 2·S)
    step, B, C = torch.split(projected, [rank, states, states], 2)
    delta = torch.bmm(step, dt_proj.transpose(1, 2)).view(groups, length, batch, rows)
    B, C = (x.reshape(groups, length, batch, states).permute(2, 0, 3, 1) for x in (B, C))
    y = selective_scan(
        u.flatten(2).permute(1, 2, 0),
        delta.permute(1, 2, 0, 3).flatten(2).permute(1, 2, 0),
        -at_least_float32(A_log).exp(),
        B,
        C.flip(1) if crossed else C,
        D,
        dt_bias.flatten(),
    )
    return y.permute(2, 0, 1).view(*u.shape)


def halves(x: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """(2·length, …) cut in two; ``chunk`` would ask torch.export whether a free length divides."""
    return x[:length], x[length:]


def step_rank(width: int) -> int:
    """R, how many numbers the step sizes of a position are made of."""
    return math.ceil(width / 16)


def _by_rows(x: Tensor) -> Tensor:
    """(B, H, W, D), dense, to (H·W, B, D), a view. A copy with B inside would leave torch.export a question of strides,
    written into the program as code, which :mod:`cimnet.inference.backends.pt2_archive` refuses."""
    return x.permute(1, 2, 0, 3).flatten(0, 1)


def _to_map(y: Tensor, height: int, width: int) -> Tensor:
    """(H·W, B, D) to (B, H, W, D)."""
    return y.reshape(height, width, -1, y.shape[2]).permute(2, 0, 1, 3)


def _convolve(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """A convolution on (B, H, W, C)."""
    y: Tensor = layer(x.permute(0, 3, 1, 2))
    return y.permute(0, 2, 3, 1)


def _gate(layers: nn.Module, x: Tensor) -> Tensor:
    """A factor for each channel of (B, H, W, C): (B, 1, 1, C)."""
    gate: Tensor = layers(x.mean((1, 2), keepdim=True))
    return gate.sigmoid()


def _channel_gate(inner: int) -> nn.Sequential:
    narrow = max(1, inner // 16)
    return nn.Sequential(nn.Linear(inner, narrow, bias=False), nn.SiLU(), nn.Linear(narrow, inner, bias=False))


def _depthwise(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, padding=1, groups=channels)


def _projection(groups: int, out: int, inner: int) -> nn.Parameter:
    bound = inner**-0.5
    return nn.Parameter(torch.empty(groups, out, inner).uniform_(-bound, bound))


def _step_projection(groups: int, inner: int, rank: int) -> nn.Parameter:
    bound = rank**-0.5
    return nn.Parameter(torch.empty(groups, inner, rank).uniform_(-bound, bound))


def _step_bias(groups: int, inner: int) -> nn.Parameter:
    """Return a bias whose softplus is spread evenly over the logarithms of the first steps."""
    logarithm = torch.empty(groups, inner).uniform_(math.log(LEAST_STEP), math.log(LARGEST_STEP))
    step = logarithm.exp().clamp(min=STEP_FLOOR)
    return nn.Parameter(step + torch.log(-torch.expm1(-step)))


def _decay(rows: int, states: int) -> nn.Parameter:
    """log(1), log(2) … in every row."""
    return nn.Parameter(torch.arange(1.0, states + 1).log().repeat(rows, 1))
