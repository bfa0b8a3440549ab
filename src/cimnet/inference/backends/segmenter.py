"""The interface of what a predictor runs."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from cimnet.models import Output


class Segmenter(Protocol):
    """The model that a predictor runs: one of this package, or an exported one."""

    def __call__(self, rgb: Tensor, thermal: Tensor, /) -> Output:
        """Images (B, 3, H, W) and (B, C, H, W) in 0..1 to :class:`cimnet.models.Output`."""

    def predict(self, rgb: Tensor, thermal: Tensor, /) -> Tensor:
        """The same images to class ids (B, H, W), int64."""
