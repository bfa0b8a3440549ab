"""Explicit alignment of the thermal stream, by name; not in the paper.

In the paper's form, offsets move the samples of a map into which both streams are already mixed (eq. 11, 12): they
cannot bring one stream to the other, and nothing rewards them for it (docs/benchmarks.md). Here a cost volume compares
the RGB map with the thermal map at all displacements within reach, a small network turns it into one displacement for
each pixel, and the thermal map is sampled there before CIPA. It learns from the segmentation loss, and from itself:
thermal features are displaced by known amounts, and the network has to say by how much. No true offsets are needed.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cimnet.models.base import zero_conv
from cimnet.models.deformable import grid_coordinates


def sample_at(x: Tensor, flow: Tensor) -> Tensor:
    """x (B, C, H, W) at p + flow(p), flow (B, 2, H, W) in (dy, dx) pixels of x; beyond the border its last pixels."""
    height, width = x.shape[-2:]
    rows = torch.arange(height, device=x.device, dtype=torch.float32).view(height, 1)
    columns = torch.arange(width, device=x.device, dtype=torch.float32)
    grid = grid_coordinates(flow[:, 0].float() + rows, flow[:, 1].float() + columns, height, width)
    return F.grid_sample(x.float(), grid, padding_mode="border", align_corners=False)


def displace(x: Tensor, reach: float) -> tuple[Tensor, Tensor, Tensor]:
    """Move features by random amounts, a rectangle of each image by another amount than the rest, as a moving thing is.

    Args:
        x: (B, C, H, W).
        reach: largest displacement along an axis, pixels of x.

    Returns:
        The moved features; the flow (B, 2, H, W) that finds what was at p; where that can be found, (B, H, W) bool.
    """
    batch, _, height, width = x.shape
    whole, part = ((2 * torch.rand(batch, 2, 1, 1, device=x.device) - 1) * reach for _ in range(2))
    low = torch.rand(batch, 2, device=x.device) * 0.7
    high = low + 0.15 + torch.rand(batch, 2, device=x.device) * 0.35
    rows = torch.arange(height, device=x.device).view(1, height, 1)
    columns = torch.arange(width, device=x.device).view(1, 1, width)

    def inside(y: Tensor, x_position: Tensor) -> Tensor:
        (top, left), (bottom, right) = ([e.view(-1, 1, 1) for e in edge.unbind(1)] for edge in (low, high))
        y, x_position = y / height, x_position / width
        return (y >= top) & (y < bottom) & (x_position >= left) & (x_position < right)

    moved = sample_at(x, -torch.where(inside(rows, columns)[:, None], part, whole))
    lands_inside = inside(rows + part[:, 0], columns + part[:, 1])
    flow = torch.where(lands_inside[:, None], part, whole).expand(-1, -1, height, width)
    covered = inside(rows + whole[:, 0], columns + whole[:, 1])
    y, x_position = rows + flow[:, 0], columns + flow[:, 1]
    seen = (y >= 0) & (y <= height - 1) & (x_position >= 0) & (x_position <= width - 1)
    return moved, flow, seen & (lands_inside | ~covered)


class AlignmentOutput(NamedTuple):
    """The aligned thermal map (B, C, H, W), the flow (B, 2, H, W), (dy, dx) in pixels of the map, and in training mode
    the error of the self-supervision, a scalar in pixels of the map (None otherwise)."""

    thermal: Tensor
    flow: Tensor
    error: Tensor | None


class ThermalAlignment(nn.Module):
    """Find for each RGB pixel where the thermal map shows the same, and sample the thermal map there.

    Args:
        channels: C of both maps.
        embedding: width in which pixels are compared, by the cosine of their angle.
        reach: largest displacement along an axis, in pixels of the map.

    The cost volume's windows take embedding · (2·reach + 1)² numbers a pixel of the map: 0.2 GB for 480×640 at the
    defaults, and as much again for gradients.
    """

    def __init__(self, channels: int, embedding: int = 16, reach: int = 6) -> None:
        super().__init__()
        self.reach = reach
        self.embed_rgb, self.embed_thermal = (
            nn.Sequential(
                nn.Conv2d(channels, 2 * embedding, 3, padding=1),
                nn.ReLU(inplace=True),
                nn.Conv2d(2 * embedding, embedding, 3, padding=1),
            )
            for _ in range(2)
        )
        count = (2 * reach + 1) ** 2
        last = zero_conv(64, count, kernel_size=3)
        self.refine = nn.Sequential(nn.Conv2d(count, 64, 3, padding=1), nn.ReLU(inplace=True), last)
        self.sharpness = nn.Parameter(torch.tensor(5.0))

    def find(self, rgb: Tensor, thermal: Tensor) -> Tensor:
        """Two maps (B, C, H, W) to the flow (B, 2, H, W): the expected displacement under a softmax over the costs."""
        key, query = (
            F.normalize(embed(x).float(), dim=1) for embed, x in ((self.embed_rgb, rgb), (self.embed_thermal, thermal))
        )
        width = 2 * self.reach + 1
        batch, channels, height, columns = key.shape
        windows = F.unfold(query, width, padding=self.reach).view(batch, channels, width**2, height, columns)
        cost = torch.einsum("bckhw,bchw->bkhw", windows, key)
        share = torch.softmax(self.sharpness * cost + self.refine(cost).float(), dim=1)
        steps = torch.arange(-self.reach, self.reach + 1, device=cost.device, dtype=share.dtype)
        along = share.view(batch, width, width, height, columns)
        dy = (along.sum(2) * steps.view(1, -1, 1, 1)).sum(1)
        dx = (along.sum(1) * steps.view(1, -1, 1, 1)).sum(1)
        return torch.stack((dy, dx), dim=1)

    def forward(self, rgb: Tensor, thermal: Tensor) -> AlignmentOutput:
        """Two maps (B, C, H, W) of one stage to :class:`AlignmentOutput`."""
        error = None
        if self.training:
            moved, flow, seen = displace(thermal.detach(), self.reach - 1)
            distance = F.smooth_l1_loss(self.find(rgb.detach(), moved), flow, reduction="none").sum(1)
            error = (distance * seen).sum() / seen.sum().clamp_min(1)
        flow = self.find(rgb, thermal)
        return AlignmentOutput(sample_at(thermal, flow).to(thermal.dtype), flow, error)
