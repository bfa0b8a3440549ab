"""Two streams with parallel rectification, a reference point: the principle of CMX (Zhang et al., T-ITS 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cimnet.models.base import Output, RGBTModel, run_on_present
from cimnet.models.cimnet import HEADS, PAPER_WIDTHS, Leave, check_options, enter
from cimnet.models.decoder import MLPDecoder
from cimnet.models.encoder import create_encoder
from cimnet.models.ffm import FFM


class ParallelRectification(nn.Module):
    """Weights by channel and weights by place, both from the same two maps; each stream gets half of the other one
    weighed by either."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel = nn.Sequential(
            nn.Linear(4 * channels, 4 * channels), nn.ReLU(inplace=True), nn.Linear(4 * channels, 2 * channels)
        )
        self.spatial = nn.Sequential(
            nn.Conv2d(2 * channels, channels, 1), nn.ReLU(inplace=True), nn.Conv2d(channels, 2, 1)
        )

    def forward(self, rgb: Tensor, thermal: Tensor) -> tuple[Tensor, Tensor]:
        """Two maps (B, C, H, W) to two of the same shape."""
        pooled = torch.cat((rgb.amax((2, 3)), rgb.mean((2, 3)), thermal.amax((2, 3)), thermal.mean((2, 3))), dim=1)
        channel_rgb, channel_thermal = torch.sigmoid(self.channel(pooled))[:, :, None, None].chunk(2, dim=1)
        spatial_rgb, spatial_thermal = torch.sigmoid(self.spatial(torch.cat((rgb, thermal), dim=1))).chunk(2, dim=1)
        return (
            rgb + 0.5 * (channel_thermal + spatial_thermal) * thermal,
            thermal + 0.5 * (channel_rgb + spatial_rgb) * rgb,
        )


class ParallelNet(RGBTModel):
    """CIMNet's encoders, way in and out, fusion and decoder, with :class:`ParallelRectification` in place of CIPA and
    SCSFR. Arguments are those of :class:`cimnet.models.baselines.single.SingleStream`."""

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
        stages = list(zip(encoder_rgb.channels, widths, strict=True))
        self.enter_rgb = nn.ModuleList(enter(*stage) for stage in stages)
        self.enter_thermal = nn.ModuleList(enter(*stage) for stage in stages)
        self.rectify = nn.ModuleList(ParallelRectification(width) for width in widths)
        self.leave_rgb = nn.ModuleList(Leave(*stage) for stage in stages[:3])
        self.leave_thermal = nn.ModuleList(Leave(*stage) for stage in stages[:3])
        self.ffm = nn.ModuleList(FFM(c, heads) for c, heads in zip(widths, HEADS, strict=True))
        self.decoder = MLPDecoder(widths, decoder_channels, num_classes, dropout)

    def forward(self, rgb: Tensor | None, thermal: Tensor | None) -> Output:
        """Images (B, 3, H, W) and (B, 1, H, W) in 0..1, one of them None if it is missing, to
        :class:`cimnet.models.base.Output`."""
        images = self.begin(rgb, thermal)
        rgb, thermal, has_rgb, has_thermal = images.rgb, images.thermal, images.has_rgb, images.has_thermal
        fused = []
        for n in range(4):
            rgb = run_on_present(self.recomputed(self.encoder_rgb.stages[n]), rgb, has_rgb, self.training)
            thermal = run_on_present(
                self.recomputed(self.encoder_thermal.stages[n]), thermal, has_thermal, self.training
            )
            entered_rgb = run_on_present(self.enter_rgb[n], rgb, has_rgb, self.training)
            entered_thermal = run_on_present(self.enter_thermal[n], thermal, has_thermal, self.training)
            out_rgb, out_thermal = self.rectify[n](entered_rgb, entered_thermal)
            fused.append(self.recomputed(self.ffm[n])(out_rgb, out_thermal))
            if n < len(self.leave_rgb):
                rgb = self.leave_rgb[n](rgb, entered_rgb, out_rgb)
                thermal = self.leave_thermal[n](thermal, entered_thermal, out_thermal)
        return Output(self.restore(self.decoder(fused), images.padded, images.size), flow=images.flow)
