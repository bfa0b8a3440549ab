"""Compare an exported file with the model on a random pair."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor

from cimnet.errors import CheckpointError
from cimnet.inference.backends.details import Details
from cimnet.inference.backends.runtime import ExportedModel
from cimnet.models import RGBTModel
from cimnet.models.base import class_ids

SIZE = (3, 75, 107)
"""Batch, height and width: none of them as traced, no side a multiple of 32."""
LEAST = 0.999


@dataclass(frozen=True)
class Parity:
    """The difference between an exported file and the model that it was made of.

    Attributes:
        error: largest difference of a logit. None: the file gives class ids.
        equal: share of pixels with the same class, 0..1.
    """

    error: float | None
    equal: float


def random_pair(size: tuple[int, int, int] = SIZE, seed: int = 0, thermal_channels: int = 1) -> tuple[Tensor, Tensor]:
    """Smooth random images (B, 3, H, W) and (B, C, H, W) in 0..1; RGB of the first and thermal of the second are
    black."""
    generator = torch.Generator().manual_seed(seed)
    batch, height, width = size
    channels = 3 + thermal_channels
    coarse = torch.rand(batch, channels, -(-height // 8) + 1, -(-width // 8) + 1, generator=generator)
    pair = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
    pair = (pair + 0.1 * torch.rand(batch, channels, height, width, generator=generator)) / 1.1
    rgb, thermal = pair[:, :3], pair[:, 3:]
    rgb[0] = 0
    if batch > 1:
        thermal[1] = 0
    return rgb, thermal


def compare(
    model: RGBTModel, exported: ExportedModel, size: tuple[int, int, int] | None = None, seed: int = 0
) -> Parity:
    """Run both on :func:`random_pair`, by default of `SIZE`, or of a size that the file takes."""
    size = size or (SIZE[0], *_side_lengths(exported.details))
    rgb, thermal = random_pair(size, seed, model.thermal_channels)
    with torch.inference_mode():
        wanted = model.eval()(rgb, thermal).logits
    if exported.details.argmax:
        return Parity(None, share(class_ids(wanted), exported.predict(rgb, thermal)))
    found = exported(rgb, thermal).logits
    return Parity(float((wanted - found).abs().max()), share(class_ids(wanted), class_ids(found)))


def _side_lengths(details: Details) -> tuple[int, int]:
    if details.size is not None or not details.whole_tiles:
        return details.size or (SIZE[1], SIZE[2])
    height, width = (
        next(side for side in count(least) if details.inner_size(side, side)[0] % tile == 0)
        for least, tile in zip(SIZE[1:], details.tile, strict=True)
    )
    return height, width


def share(a: Tensor, b: Tensor) -> float:
    """Return the share of equal numbers in two tensors of one shape."""
    return float((a == b).double().mean())


def require(parity: Parity) -> None:
    """Refuse a file that disagrees with the model.

    Raises:
        CheckpointError: if fewer than `LEAST` of the pixels agree.
    """
    if parity.equal < LEAST:
        raise CheckpointError(
            f"the exported model gives another class at {100 * (1 - parity.equal):.2f} % of the pixels (largest logit "
            f"difference: {parity.error}); nothing was written: try another format or other versions of the runtime"
        )
