"""Two streams with addition, a reference point: the principle of RTFNet (Sun et al., RA-L 2019)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from cimnet.models.base import Output, RGBTModel, run_on_present
from cimnet.models.cimnet import PAPER_WIDTHS, check_options, enter
from cimnet.models.decoder import MLPDecoder
from cimnet.models.encoder import create_encoder


class Addition(RGBTModel):
    """After every stage the thermal map is added to the RGB map, which goes on and is decoded; the thermal stream stays
    what it is. Arguments are those of :class:`cimnet.models.baselines.single.SingleStream`."""

    def __init__(
        self,
        encoder: str,
        num_classes: int,
        widths: Sequence[int] = PAPER_WIDTHS,
        decoder_channels: int = 512,
        pretrained: bool = False,
        input_scale: float = 1.0,
        dropout: float = 0.1,
        explicit_alignment: bool = False,
    ) -> None:
        check_options(widths, decoder_channels, None, "replace")
        encoder_rgb, encoder_thermal = create_encoder(encoder, pretrained), create_encoder(encoder, pretrained)
        super().__init__(encoder_rgb.mean, encoder_rgb.std, input_scale, explicit_alignment)
        self.encoder_rgb, self.encoder_thermal = encoder_rgb, encoder_thermal
        self.enter = nn.ModuleList(enter(*stage) for stage in zip(encoder_rgb.channels, widths, strict=True))
        self.decoder = MLPDecoder(widths, decoder_channels, num_classes, dropout)

    def forward(self, rgb: Tensor | None, thermal: Tensor | None) -> Output:
        """Images (B, 3, H, W) and (B, 1, H, W) in 0..1, one of them None if it is missing, to
        :class:`cimnet.models.base.Output`."""
        images = self.begin(rgb, thermal)
        rgb, thermal = images.rgb, images.thermal
        features = []
        for n in range(4):
            has_any = images.has_rgb if n == 0 else None  # later stages get the sum
            rgb = run_on_present(self.recomputed(self.encoder_rgb.stages[n]), rgb, has_any, self.training)
            thermal = run_on_present(
                self.recomputed(self.encoder_thermal.stages[n]), thermal, images.has_thermal, self.training
            )
            rgb = rgb + thermal
            features.append(self.enter[n](rgb))
        return Output(self.restore(self.decoder(features), images.padded, images.size), flow=images.flow)
