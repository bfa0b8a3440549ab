"""Mutual information of the two streams (paper III-B, eq. 1–5).

Each stream's feature map is turned into soft assignments to ``d`` categories, one for each pooled cell of each image.
The joint distribution of the two assignments over all cells gives I = H(V_r) + H(V_t) − H(V_r, V_t), eq. (1), which is
the same number as eq. (4). The joint term is what makes it a measure of dependence: without it (4) is only a sum of
entropies.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cimnet.utils.distributed import sum_over_processes

MIMode = Literal["cooperative", "adversarial"]


def joint_distribution(p: Tensor, q: Tensor, counts: Tensor | None = None) -> Tensor:
    """Joint table P = (1/N) Σₙ pₙ qₙᵀ of two soft assignments (N, d), averaged over all processes of a run.

    Args:
        counts: (N,) bool, which rows count; None: all.

    Returns:
        (d, d), float32 or better, non-negative, sum 1; zeros if no row of any process counts.
    """
    total = p.new_tensor(len(p), dtype=torch.float32)
    if counts is not None:
        q, total = q * counts[:, None], counts.sum(dtype=torch.float32)
    p, q = (t if t.dtype == torch.float64 else t.float() for t in (p, q))
    with torch.autocast(p.device.type, enabled=False):
        joint = p.T @ q
    return sum_over_processes(joint) / sum_over_processes(total.to(joint)).clamp_min(1.0)


def mutual_information(joint: Tensor) -> Tensor:
    """Mutual information I = Σ P log(P / (P1)(1ᵀP)) of a joint table, in nats: 0 ≤ I ≤ log d (eq. 1, 4, 5).

    Args:
        joint: (d, d), non-negative, sum 1.
    """
    dtype = joint.dtype
    joint = joint.double()  # in float32, rounding swallows the estimate of an untrained head
    tiny = torch.finfo(joint.dtype).tiny
    rows = joint.sum(1, keepdim=True)
    columns = joint.sum(0, keepdim=True)
    log_ratio = joint.clamp_min(tiny).log() - rows.clamp_min(tiny).log() - columns.clamp_min(tiny).log()
    value = (joint * log_ratio).sum()
    return (value + (value.clamp_min(0.0) - value).detach()).to(dtype)  # never negative, the gradient untouched


class _ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> Tensor:
        return -gradient[0]


def reverse_gradient(x: Tensor) -> Tensor:
    """Identity forward, gradient times −1 backward (Ganin and Lempitsky, ICML 2015)."""
    return _ReverseGradient.apply(x)


class MutualInformationHead(nn.Module):
    """Estimate the mutual information of both streams' features at stage 1, in training (paper III-B, eq. 1–5).

    Args:
        channels: C of both maps.
        categories: d, number of categories to which each cell is assigned; the estimate is at most log d nats.
        cells: maps are pooled to cells × cells positions, each of which is one sample.
        mode: ``cooperative``: head and features both lower the estimate, as the paper words it; the head can do so by
            ignoring its input. ``adversarial``: the head raises the estimate, so that it stays tight, and the features
            lower it.
    """

    def __init__(self, channels: int, categories: int = 16, cells: int = 8, mode: MIMode = "adversarial") -> None:
        super().__init__()
        self.cells = cells
        self.mode = mode
        self.rgb = self._latent(channels, categories)
        self.thermal = self._latent(channels, categories)

    def _latent(self, channels: int, categories: int) -> nn.Sequential:
        # 3×3 convolution, then two fully connected layers, which on pooled cells are 1×1 convolutions.
        return nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(self.cells),
            nn.Conv2d(channels, channels, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, categories, 1),
        )

    def assign(self, rgb: Tensor, thermal: Tensor) -> tuple[Tensor, Tensor]:
        """Two maps (B, C, H, W) to soft assignments (N, d), N = B · cells², rows of sum 1: softmax of V_r and V_t."""
        latents = (head(x).permute(0, 2, 3, 1).flatten(0, 2) for head, x in ((self.rgb, rgb), (self.thermal, thermal)))
        p, q = (F.softmax(latent, dim=-1) for latent in latents)
        return p, q

    def forward(self, rgb: Tensor, thermal: Tensor, both: Tensor | None = None) -> Tensor:
        """Estimate the mutual information of two maps.

        Args:
            rgb, thermal: (B, C, H, W).
            both: (B,) bool, pairs with both images; only these count. None: all.

        Returns:
            A scalar in nats, 0 if no pair counts. Its gradient follows ``mode``.
        """
        counts = None if both is None else both.repeat_interleave(self.cells**2)
        if self.mode == "adversarial":
            rgb, thermal = reverse_gradient(rgb), reverse_gradient(thermal)
        estimate = mutual_information(joint_distribution(*self.assign(rgb, thermal), counts))
        return reverse_gradient(estimate) if self.mode == "adversarial" else estimate
