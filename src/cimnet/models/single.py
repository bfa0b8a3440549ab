"""One-sensor reference points: the encoder and decoder of CIMNet with nothing between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from cimnet.models.base import Output, RGBTModel
from cimnet.models.cimnet import PAPER_WIDTHS, check_options, enter
from cimnet.models.decoder import MLPDecoder
from cimnet.models.encoder import create_encoder


class SingleStream(RGBTModel):
    """Segment from one sensor. Takes the pair like every model of this package and looks at one half of it.

    Args:
        modality: ``rgb`` or ``thermal``; the others are those of :class:`cimnet.models.cimnet.CIMNet`.
    """

    def __init__(
        self,
        encoder: str,
        num_classes: int,
        modality: Literal["rgb", "thermal"],
        widths: Sequence[int] = PAPER_WIDTHS,
        decoder_channels: int = 512,
        pretrained: bool = False,
        input_scale: float = 1.0,
        dropout: float = 0.1,
    ) -> None:
        check_options(widths, decoder_channels, None, "replace")
        if modality not in ("rgb", "thermal"):
            raise ValueError(f"modality is '{modality}', choose rgb or thermal")
        network = create_encoder(encoder, pretrained)
        super().__init__(network.mean, network.std, input_scale)
        self.modality = modality
        self.encoder = network
        self.enter = nn.ModuleList(enter(*stage) for stage in zip(network.channels, widths, strict=True))
        self.decoder = MLPDecoder(widths, decoder_channels, num_classes, dropout)

    def forward(self, rgb: Tensor | None, thermal: Tensor | None) -> Output:
        """Images (B, 3, H, W) and (B, 1, H, W) in 0..1, one of them may be None, to
        :class:`cimnet.models.base.Output`."""
        rgb, thermal = self.complete(rgb, thermal)
        size = (rgb.shape[-2], rgb.shape[-1])
        rgb, thermal = self.prepare(rgb, thermal)
        padded = (rgb.shape[-2], rgb.shape[-1])
        maps = self.encoder(rgb if self.modality == "rgb" else thermal)
        features = [project(x) for project, x in zip(self.enter, maps, strict=True)]
        return Output(self.restore(self.decoder(features), padded, size))
