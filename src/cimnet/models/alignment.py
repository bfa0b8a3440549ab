"""Explicit alignment of the thermal image, by name; not in the paper.

In the paper's form, offsets move the samples of a map into which both streams are already mixed (eq. 11, 12): they
cannot bring one stream to the other, and nothing rewards them for it (docs/benchmarks.md). Here the thermal image is
brought to the RGB image before the encoders. Both become maps of edge directions, which sensors share whatever their
contrast (:func:`cimnet.models.structure.orientation`); a cost volume holds how well they agree at all displacements
within reach: around each pixel, further around, and over the whole image. That alone finds a shift without any
training. What is local, it learns from displacements that the training transform adds and tells
(``augmentation.misalignment``); the loss of the segmentation takes no part in it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cimnet.models.base import zero_conv
from cimnet.models.deformable import grid_coordinates
from cimnet.models.structure import blur, orientation

CELL = 4  # image pixels along a cell of the cost volume


def sample_at(x: Tensor, flow: Tensor) -> Tensor:
    """x (B, C, H, W) at p + flow(p), flow (B, 2, H, W) in (dy, dx) pixels of x; beyond the border its last pixels."""
    height, width = x.shape[-2:]
    rows = torch.arange(height, device=x.device, dtype=torch.float32).view(height, 1)
    columns = torch.arange(width, device=x.device, dtype=torch.float32)
    grid = grid_coordinates(flow[:, 0].float() + rows, flow[:, 1].float() + columns, height, width)
    return F.grid_sample(x.float(), grid, padding_mode="border", align_corners=False)


class AlignmentOutput(NamedTuple):
    """The thermal image (B, C, H, W) as RGB sees it; the flow (B, 2, h, w), (dy, dx) in cells of four pixels; logits of
    all displacements (B, (2·reach + 1)², h, w), row by row from −reach."""

    thermal: Tensor
    flow: Tensor
    matching: Tensor


class ThermalAlignment(nn.Module):
    """Find for each place in the RGB image where the thermal image shows the same, and sample the thermal image there.

    Args:
        reach: largest displacement along an axis, in cells of four pixels.

    The cost volumes take 3 · (2·reach + 1)² numbers a cell: 39 MB for 480×640 at the default.
    """

    near, far = 1.5, 6.0  # cells, standard deviations of the Gaussian windows in which costs are summed

    def __init__(self, reach: int = 6) -> None:
        super().__init__()
        self.reach = reach
        count = (2 * reach + 1) ** 2
        self.refine = nn.Sequential(
            nn.Conv2d(3 * count, 32, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(inplace=True),
            zero_conv(32, count),
        )
        self.sharpness = nn.Parameter(torch.tensor([10.0, 20.0, 40.0]))  # of the costs near, far and overall

    @torch.no_grad()
    def costs(self, rgb: Tensor, thermal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images (B, C, H, W) to normalised correlations −1..1, (B, k², h, w) near, far and (B, k², 1, 1) overall."""
        key, query = _describe(rgb), F.pad(_describe(thermal), (self.reach,) * 4)
        height, width = key.shape[-2:]
        places = [(i, j) for i in range(2 * self.reach + 1) for j in range(2 * self.reach + 1)]
        shifted = [query[:, :, i : i + height, j : j + width] for i, j in places]
        products = torch.stack([(key * there).sum(1) for there in shifted], dim=1)
        power = query.square().sum(1)
        energy_query = torch.stack([power[:, i : i + height, j : j + width] for i, j in places], dim=1)
        energy_key = key.square().sum(1, keepdim=True)

        def agreement(sigma: float) -> Tensor:
            power = blur(energy_query, sigma) * blur(energy_key, sigma)
            return blur(products, sigma) / (power + 1e-4).sqrt()

        power = energy_query.mean((2, 3), keepdim=True) * energy_key.mean((2, 3), keepdim=True)
        overall = products.mean((2, 3), keepdim=True) / (power + 1e-6).sqrt()
        return agreement(self.near), agreement(self.far), overall

    def forward(self, rgb: Tensor, thermal: Tensor, both: Tensor | None = None) -> AlignmentOutput:
        """Images (B, C, H, W), H and W multiples of four, to :class:`AlignmentOutput`; where not ``both`` (B,) images
        are there, the flow is zero. The flow is the expected displacement under a softmax over the logits."""
        with torch.autocast(rgb.device.type, enabled=False):
            dtype = self.sharpness.dtype
            costs = self.costs(rgb.to(dtype), thermal[:, :1].to(dtype))
            spread = [cost.expand_as(costs[0]) for cost in costs]
            weighed = [s * cost for s, cost in zip(self.sharpness, spread, strict=True)]
            matching = sum(weighed[1:], weighed[0]) + self.refine(torch.cat(spread, dim=1))
            flow = self._expected(matching)
        if both is not None:
            flow = flow * both.view(-1, 1, 1, 1)
        per_pixel = CELL * F.interpolate(flow.detach(), scale_factor=float(CELL), mode="bilinear", align_corners=False)
        return AlignmentOutput(sample_at(thermal, per_pixel).to(thermal.dtype), flow, matching)

    def _expected(self, matching: Tensor) -> Tensor:
        batch, _, height, columns = matching.shape
        share = torch.softmax(matching, dim=1).view(batch, 2 * self.reach + 1, -1, height, columns)
        steps = torch.arange(-self.reach, self.reach + 1, device=share.device, dtype=share.dtype).view(1, -1, 1, 1)
        return torch.stack(((share.sum(2) * steps).sum(1), (share.sum(1) * steps).sum(1)), dim=1)


def _describe(image: Tensor) -> Tensor:
    """Edge directions of images (B, C, H, W) at two scales in each quarter of a cell: (B, 16, H/4, W/4)."""
    half = F.avg_pool2d(image, CELL // 2)
    return F.pixel_unshuffle(torch.cat([orientation(half, sigma) for sigma in (0.7, 1.5)], dim=1), 2)


def matching_error(matching: Tensor, offset: Tensor) -> Tensor:
    """Cross entropy of displacement logits (B, k², h, w) against true offsets (B, 2, H, W) in pixels of the image, each
    shared out between the four nearest displacements; those out of reach are left out. Mean over the rest, a scalar."""
    height, width = matching.shape[-2:]
    edge = round(matching.shape[1] ** 0.5)
    reach = edge // 2
    padded = F.pad(offset, (0, CELL * width - offset.shape[-1], 0, CELL * height - offset.shape[-2]), mode="replicate")
    true = F.avg_pool2d(padded, CELL) / CELL + reach
    known = (true > 0).all(1) & (true < edge - 1).all(1)
    low = true.clamp(0, edge - 1.001).floor()
    part, row, column = true - low, *low.long().unbind(1)
    logs = torch.log_softmax(matching.float(), dim=1)
    total = logs.new_zeros(())
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        share = (part[:, 0] if down else 1 - part[:, 0]) * (part[:, 1] if right else 1 - part[:, 1])
        chosen = logs.gather(1, ((row + down) * edge + column + right)[:, None])[:, 0]
        total = total - torch.where(known, share * chosen, 0.0).sum()
    return total / known.sum().clamp_min(1)
