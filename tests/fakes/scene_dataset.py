"""Scenes as a PyTorch data set, drawn when they are asked for."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.data import Dataset

from cimnet.data.sample import RGBTSample
from cimnet.data.synthetic.class_ids import CLASSES, COLORS
from cimnet.data.synthetic.render import render


class SceneDataset(Dataset[RGBTSample]):
    """`length` scenes of a split without a file on disk; size and scale as for `render`.

    transform: applied to every sample, as in the data sets that read folders."""

    def __init__(
        self,
        split: str,
        length: int,
        seed: int = 0,
        size: tuple[int, int] = (512, 640),
        scale: float = 1.0,
        transform: Callable[[RGBTSample], RGBTSample] | None = None,
    ) -> None:
        self.split, self.length, self.seed, self.size, self.scale = split, length, seed, size, scale
        self.transform = transform
        self.classes, self.colors = CLASSES, COLORS

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> RGBTSample:
        if not 0 <= index < self.length:
            raise IndexError(f"index {index} of {self.length} scenes")
        pair = render(self.seed, split=self.split, index=index, size=self.size, scale=self.scale)
        sample = RGBTSample(
            rgb=torch.from_numpy(pair.rgb).permute(2, 0, 1).contiguous().float() / 255,
            thermal=torch.from_numpy(pair.thermal)[None].float() / 255,
            label=torch.from_numpy(pair.label).long(),
            id=pair.id,
            scene=pair.scene,
            flags=pair.flags,
        )
        return self.transform(sample) if self.transform else sample
