"""Explicit alignment of the thermal image: an option that is not in the paper.

In the paper's form, offsets move the samples of a map into which both streams are already mixed (eq. 11, 12): they
cannot bring one stream to the other, and nothing rewards them for it (docs/notebook/offsets.md). Here the thermal
image is brought to the RGB image before the encoders. Both become maps of edge directions, which sensors share
whatever their contrast (:func:`cimnet.ops.edges.orientation`); a cost volume holds how well they agree at all
displacements within reach, around each place and over the whole image. Nothing in it is learned, so it works from the
first step on, and training cannot harm it. A network that refined the displacements was tried and made masks worse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cimnet.models.blank import CELL
from cimnet.ops.deformable import grid_coordinates
from cimnet.ops.edges import blur, orientation

BESIDE = 2  # cells beside a lost one that see its border


def sample_at(x: Tensor, flow: Tensor) -> Tensor:
    """x (B, C, H, W), as float32, at p + flow(p), flow (B, 2, H, W) in (dy, dx) pixels of x; beyond the border its last
    pixels."""
    height, width = x.shape[-2:]
    rows = torch.arange(height, device=x.device, dtype=torch.float32).view(height, 1)
    columns = torch.arange(width, device=x.device, dtype=torch.float32)
    grid = grid_coordinates(flow[:, 0].float() + rows, flow[:, 1].float() + columns, height, width)
    return F.grid_sample(x.float(), grid, padding_mode="border", align_corners=False)


class AlignmentOutput(NamedTuple):
    """The output of explicit alignment.

    Attributes:
        thermal: the thermal image in the frame of RGB, (B, C, H, W).
        flow: (B, 2, H/4, W/4), (dy, dx) from RGB to thermal, in cells of four pixels.
    """

    thermal: Tensor
    flow: Tensor


class ThermalAlignment(nn.Module):
    """Find for each place in the RGB image where the thermal image shows the same, and sample the thermal image there.
    It has no weights. Its cost volume takes 2 · (2·reach + 1)² numbers per cell: 26 MB for 480×640 at the default.

    Args:
        reach: largest displacement along an axis, in cells of four pixels: 6 cells are 24 pixels.
    """

    around = 6.0  # cells, standard deviation of the Gaussian window in which costs are summed
    sharpness = (40.0, 60.0)  # factors of the correlations around a place and overall, before the softmax

    def __init__(self, reach: int = 6) -> None:
        super().__init__()
        self.reach = reach

    def agreement(self, rgb: Tensor, thermal: Tensor, shown: Sequence[Tensor | None]) -> tuple[Tensor, Tensor]:
        """Measure how well images (B, C, H, W) agree at each displacement, row by row from −reach: normalised
        correlations −1..1 of their edge directions, (B, k², h, w) around each cell and (B, k², 1, 1) over the image.
        Cells that are not ``shown``, as in :meth:`forward`, and those beside them do not count: neither their edges nor
        what the other image has there, which for lost cells of thermal is taken as if nothing were displaced."""
        seen, seen_thermal = (_far_from_lost(cells) for cells in shown)
        key, query = _describe(rgb), F.pad(_describe(thermal) * seen_thermal, (self.reach,) * 4)
        key = key * seen
        height, width = key.shape[-2:]
        places = [(i, j) for i in range(2 * self.reach + 1) for j in range(2 * self.reach + 1)]
        shifted = [query[:, :, i : i + height, j : j + width] for i, j in places]
        products = torch.stack([(key * there).sum(1) for there in shifted], dim=1)
        power = query.square().sum(1)
        energy_query = torch.stack([power[:, i : i + height, j : j + width] for i, j in places], dim=1) * seen
        energy_key = key.square().sum(1, keepdim=True) * seen_thermal
        energy_around = blur(energy_query, self.around) * blur(energy_key, self.around)
        energy = energy_query.mean((2, 3), keepdim=True) * energy_key.mean((2, 3), keepdim=True)
        return (
            blur(products, self.around) / (energy_around + 1e-4).sqrt(),
            products.mean((2, 3), keepdim=True) / (energy + 1e-6).sqrt(),
        )

    @torch.no_grad()
    def forward(
        self, rgb: Tensor, thermal: Tensor, both: Tensor | None = None, shown: Sequence[Tensor | None] = (None, None)
    ) -> AlignmentOutput:
        """Align the thermal image. The flow is the expected displacement under a softmax over the agreement.

        Args:
            rgb: (B, C, H, W), normalised; H and W multiples of four.
            thermal: (B, C, H, W), normalised.
            both: (B,) bool, pairs with both images; the flow of the others is zero. None: all.
            shown: (B, 1, H/4, W/4) bool of RGB and of thermal, which cells show anything; the border of those that do
                not is no edge of the scene. None: all.
        """
        with torch.autocast(rgb.device.type, enabled=False):
            around, overall = self.agreement(rgb.float(), thermal[:, :1].float(), shown)
            flow = self._expected(self.sharpness[0] * around + self.sharpness[1] * overall)
        if both is not None:
            flow = flow * both.view(-1, 1, 1, 1)
        per_pixel = CELL * F.interpolate(flow, scale_factor=float(CELL), mode="bilinear", align_corners=False)
        return AlignmentOutput(sample_at(thermal, per_pixel).to(thermal.dtype), flow)

    def _expected(self, logits: Tensor) -> Tensor:
        batch, _, height, columns = logits.shape
        share = torch.softmax(logits, dim=1).view(batch, 2 * self.reach + 1, -1, height, columns)
        steps = torch.arange(-self.reach, self.reach + 1, device=share.device, dtype=share.dtype).view(1, -1, 1, 1)
        return torch.stack(((share.sum(2) * steps).sum(1), (share.sum(1) * steps).sum(1)), dim=1)


def _far_from_lost(shown: Tensor | None) -> Tensor | float:
    """1 where a cell (B, 1, h, w) is shown and so are those within `BESIDE`, which see its border; else 0."""
    return 1.0 if shown is None else 1 - F.max_pool2d((~shown).float(), 2 * BESIDE + 1, 1, BESIDE)


def _describe(image: Tensor) -> Tensor:
    """Edge directions of images (B, C, H, W) at two scales in each quarter of a cell: (B, 16, H/4, W/4)."""
    half = F.avg_pool2d(image, CELL // 2)
    return F.pixel_unshuffle(torch.cat([orientation(half, sigma) for sigma in (0.7, 1.5)], dim=1), 2)
