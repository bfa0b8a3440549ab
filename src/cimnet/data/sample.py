"""The one contract between the packages: an RGB-thermal pair with its label, and a batch of such pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cimnet.errors import DataError
from cimnet.utils.numbers import pluralize

IGNORE_INDEX = 255
"""Label value that is left out of the loss and of every metric."""


@dataclass(frozen=True)
class RGBTSample:
    """One RGB-thermal pair.

    Attributes:
        rgb: (3, H, W) float32 in 0..1, channels in the order red, green, blue.
        thermal: (1, H, W) float32 in 0..1, registered to ``rgb``; (C, H, W) of another second modality of C channels.
        label: (H, W) int64 class ids, 255 = ignore. None: the pair has no label.
        id: name of the pair, mostly the stem of its files, e.g. "00012N".
        scene: "day", "night" or "dark_night"; "" if unknown.
        flags: what the data set says of the pair, e.g. {"rgb_broken"} or {"weakly_aligned"}.
        offset: (2, H, W) float32, (dy, dx) in pixels: a displacement that augmentation or a corruption added. What RGB
            shows at p lies at p + offset(p) in the thermal image. None: none was added.

    Raises:
        DataError: the shapes do not fit each other. Shapes are checked when the sample is made; values are not.
    """

    rgb: Tensor
    thermal: Tensor
    label: Tensor | None
    id: str
    scene: str = ""
    flags: frozenset[str] = frozenset()
    offset: Tensor | None = None

    def __post_init__(self) -> None:
        if self.rgb.ndim != 3 or self.rgb.shape[0] != 3:
            raise DataError(f"{self.id}: rgb must have the shape (3, H, W), not {tuple(self.rgb.shape)}")
        height, width = self.rgb.shape[1:]
        if self.thermal.ndim != 3 or tuple(self.thermal.shape[1:]) != (height, width) or not len(self.thermal):
            raise DataError(
                f"{self.id}: thermal must have the shape (C, {height}, {width}) to fit rgb, "
                f"not {tuple(self.thermal.shape)}"
            )
        if self.label is not None and tuple(self.label.shape) != (height, width):
            raise DataError(
                f"{self.id}: label must have the shape {(height, width)} to fit rgb, not {tuple(self.label.shape)}"
            )


class Batch(NamedTuple):
    """Samples of one size, stacked.

    Attributes:
        rgb: (B, 3, H, W) float32 in 0..1.
        thermal: (B, C, H, W) float32 in 0..1, C mostly 1.
        label: (B, H, W) int64, 255 = ignore. None: the samples have no labels.
        ids, scenes, flags: lists of B entries, as in :class:`RGBTSample`.
        offset: (B, 2, H, W) float32, zero for samples that have none. None: no sample has one.
    """

    rgb: Tensor
    thermal: Tensor
    label: Tensor | None
    ids: list[str]
    scenes: list[str]
    flags: list[frozenset[str]]
    offset: Tensor | None = None


def collate(samples: Sequence[RGBTSample]) -> Batch:
    """Stack samples into a :class:`Batch`; pass this function to a DataLoader as ``collate_fn``.

    Args:
        samples: at least one, all of one size.

    Raises:
        DataError: there is no sample, sizes or channels differ, or only some samples have a label.
    """
    if not samples:
        raise DataError("cannot make a batch of no samples")
    first = samples[0]
    for sample in samples:
        if sample.rgb.shape != first.rgb.shape:
            raise DataError(
                f"cannot batch {first.id} ({_size(first)}) with {sample.id} ({_size(sample)}): "
                "crop to one size in the transform or use batch size 1"
            )
        if len(sample.thermal) != len(first.thermal):
            raise DataError(
                f"cannot batch {first.id}, whose second image has {pluralize(len(first.thermal), 'channel')}, with "
                f"{sample.id}, which has {len(sample.thermal)}"
            )
        if (sample.label is None) != (first.label is None):
            with_label, without = (first, sample) if sample.label is None else (sample, first)
            raise DataError(f"cannot batch {with_label.id}, which has a label, with {without.id}, which has none")
    labels = [sample.label for sample in samples if sample.label is not None]
    return Batch(
        rgb=torch.stack([sample.rgb for sample in samples]),
        thermal=torch.stack([sample.thermal for sample in samples]),
        label=torch.stack(labels) if labels else None,
        ids=[sample.id for sample in samples],
        scenes=[sample.scene for sample in samples],
        flags=[sample.flags for sample in samples],
        offset=_offsets(samples),
    )


def channels_first(values: npt.NDArray[np.float32]) -> Tensor:
    """Turn an image (H, W) or (H, W, C), float32, into a tensor (1, H, W) or (C, H, W)."""
    tensor = torch.from_numpy(values)
    return tensor[None] if tensor.ndim == 2 else tensor.permute(2, 0, 1).contiguous()


def _offsets(samples: Sequence[RGBTSample]) -> Tensor | None:
    if all(sample.offset is None for sample in samples):
        return None
    none = samples[0].rgb.new_zeros(2, *samples[0].rgb.shape[1:])
    return torch.stack([none if sample.offset is None else sample.offset for sample in samples])


def _size(sample: RGBTSample) -> str:
    return f"{sample.rgb.shape[2]}x{sample.rgb.shape[1]}"
