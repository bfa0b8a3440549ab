"""A model of a dozen weights under the names ``pixel_*``: training, saving and loading take milliseconds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cimnet.models import Output, RGBTModel, registry


class Pixel(RGBTModel):
    """A linear classifier of single pixels; its "mutual information" is the mean square of its weights."""

    stride = 1

    def __init__(
        self,
        encoder: str,
        num_classes: int,
        pretrained: bool = False,
        dropout: float = 0.0,
        thermal_channels: int = 1,
    ) -> None:
        super().__init__([0.5, 0.5, 0.5], [0.25, 0.25, 0.25], thermal_channels=thermal_channels)
        self.estimates = encoder == "mi"
        self.classify = nn.Conv2d(3 + thermal_channels, num_classes, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, rgb: Tensor, thermal: Tensor) -> Output:
        rgb, thermal = self.prepare(rgb, thermal)
        logits = self.classify(self.dropout(torch.cat([rgb, thermal[:, : self.thermal_channels]], dim=1)))
        estimate = self.classify.weight.square().mean() if self.training and self.estimates else None
        return Output(logits, estimate)


@pytest.fixture
def pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registers ``pixel_plain`` and ``pixel_mi`` (with an L_mi) for one test, in which no curves are drawn."""
    monkeypatch.setattr("cimnet.training.run_folder.save_figure", lambda figure, path: None)
    monkeypatch.setitem(registry._FAMILIES, "pixel", Pixel)
