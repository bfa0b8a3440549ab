"""CIMNet, assembled as in the paper's Fig. 5.

RGB ──▶ L1 ─┐          ┌─▶ L2 ─┐          ┌─▶ L3 ─┐          ┌─▶ L4 ─┐
            ├▶ CIPA ▶ SCSFR    ├▶ SCSFR ──┤       ├▶ SCSFR ──┤       ├▶ SCSFR
thermal ▶ L1┘    δ⁰──▶┘ │ δ¹───┼──▶┘ │ δ²─┼───────┼──▶┘ │ δ³─┼───────┼──▶┘ │
                       FFM     │    FFM   │       │    FFM   │       │    FFM
                        └──────┴─────┴────┴─ MLP decoder ────┴───────┴─────┘ ──▶ logits
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import torch
from torch import Tensor, nn

from cimnet.models.base import Alone, Output, RGBTModel, run_on_present, zero_conv
from cimnet.models.cipa import CIPA
from cimnet.models.decoder import MLPDecoder
from cimnet.models.encoder import create_encoder
from cimnet.models.ffm import FFM
from cimnet.models.mutual_information import MIMode
from cimnet.models.scsfr import SCSFR, OffsetUpdate, halve_offset

PAPER_WIDTHS = (64, 128, 320, 512)
LIGHT_WIDTHS = (32, 64, 160, 256)
HEADS = (1, 2, 5, 8)


def enter(native: int, width: int) -> nn.Module:
    """From an encoder's own width to the width at which the modules work; the identity where they agree."""
    if native == width:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(native, width, 1, bias=False), nn.BatchNorm2d(width))


class Leave(nn.Module):
    """From a rectified map back to what the encoder's next stage gets.

    Where the widths agree the rectified map itself goes on. Elsewhere the *change* that rectification made (after
    stage 1 also CIPA's attention) is added to the encoder's own map through a zero-initialised projection, so that
    training starts from an intact pretrained encoder.
    """

    def __init__(self, native: int, width: int) -> None:
        super().__init__()
        self.back = None if native == width else zero_conv(width, native)

    def forward(self, native: Tensor, entered: Tensor, rectified: Tensor) -> Tensor:
        """Maps (B, native, H, W), (B, width, H, W) before and after rectification, to (B, native, H, W)."""
        return rectified if self.back is None else native + self.back(rectified - entered)


def check_options(
    widths: Sequence[int], decoder_channels: int, mutual_information: str | None, offset_update: str
) -> None:
    """Refuse options that would be taken for something else or break later.

    Raises:
        ValueError: naming the option.
    """
    if len(widths) != 4 or any(width < 1 or width % heads for width, heads in zip(widths, HEADS, strict=True)):
        raise ValueError(f"widths {tuple(widths)} must be four positive multiples of the attention heads {HEADS}")
    if decoder_channels < 1:
        raise ValueError(f"decoder_channels is {decoder_channels}, it must be at least 1")
    if mutual_information not in (None, *get_args(MIMode)):
        raise ValueError(f"mutual_information is '{mutual_information}', choose {', '.join(get_args(MIMode))} or None")
    if offset_update not in get_args(OffsetUpdate):
        raise ValueError(f"offset_update is '{offset_update}', choose {' or '.join(get_args(OffsetUpdate))}")


class CIMNet(RGBTModel):
    """Complementary Information Mining Network (TGRS 2026, doi 10.1109/TGRS.2026.3654044).

    Args:
        encoder: name for :func:`cimnet.models.encoder.create_encoder`; two of them are built, nothing is shared.
        num_classes: K.
        widths: C of the four stages inside CIPA, SCSFR and FFM.
        decoder_channels: embedding of the MLP decoder (paper: 512).
        mutual_information: ``adversarial``, ``cooperative`` or None (no head): MIR of the paper's Table III.
        msm, swr, cwr: the other three switches of Table III: first offsets (eq. 10), spatial and channel rectification
            (eq. 11–18, 19–23). Offsets act through the spatial step alone: without ``swr``, ``msm`` has no effect.
            Without both steps nothing is handed back to the encoders.
        offset_update: ``replace`` or ``residual``, see :class:`cimnet.models.scsfr.SCSFR`.
        modulation: DCN v2's mask in the alignment.
        explicit_alignment: bring the thermal image to the RGB image before the encoders, not in the paper; see
            :class:`cimnet.models.explicit_alignment.ThermalAlignment`.
        pretrained: ImageNet weights for both encoders.
        input_scale: see :class:`cimnet.models.base.RGBTModel`.
        dropout: in the decoder.
        exchange_dropout: in training, probability per sample and stream that nothing is handed back to its encoder,
            so that it learns to work alone; with 1 nothing ever is, also in use. Not in the paper.
        decode_alone: a stream whose partner is missing is decoded as it is: what rectification and fusion make of it is
            thrown away. And in training the streams that ``exchange_dropout`` chose are decoded by themselves, too:
            with 1 every pair teaches the model to see with both sensors and with either one. Not in the paper.
    """

    def __init__(
        self,
        encoder: str,
        num_classes: int,
        widths: Sequence[int] = PAPER_WIDTHS,
        decoder_channels: int = 512,
        mutual_information: MIMode | None = "adversarial",
        msm: bool = True,
        swr: bool = True,
        cwr: bool = True,
        offset_update: OffsetUpdate = "replace",
        modulation: bool = False,
        explicit_alignment: bool = False,
        pretrained: bool = False,
        input_scale: float = 1.0,
        dropout: float = 0.1,
        exchange_dropout: float = 0.0,
        decode_alone: bool = False,
    ) -> None:
        check_options(widths, decoder_channels, mutual_information, offset_update)
        if not 0 <= exchange_dropout <= 1:
            raise ValueError(f"exchange_dropout is {exchange_dropout}, it must lie in 0..1")
        encoder_rgb, encoder_thermal = (
            create_encoder(encoder, pretrained),
            create_encoder(encoder, pretrained),
        )
        super().__init__(encoder_rgb.mean, encoder_rgb.std, input_scale, explicit_alignment)
        self.encoder_rgb, self.encoder_thermal = encoder_rgb, encoder_thermal
        stages = list(zip(encoder_rgb.channels, widths, strict=True))
        self.enter_rgb = nn.ModuleList(enter(*stage) for stage in stages)
        self.enter_thermal = nn.ModuleList(enter(*stage) for stage in stages)
        self.cipa = CIPA(widths[0], mutual_information=mutual_information, msm=msm and swr)
        self.scsfr = nn.ModuleList(
            SCSFR(c, offset_update=offset_update, modulation=modulation, swr=swr, cwr=cwr) for c in widths
        )
        handed_back = stages[:3] if (swr or cwr) and exchange_dropout < 1 else []
        self.leave_rgb = nn.ModuleList(Leave(*stage) for stage in handed_back)
        self.leave_thermal = nn.ModuleList(Leave(*stage) for stage in handed_back)
        self.ffm = nn.ModuleList(FFM(c, heads) for c, heads in zip(widths, HEADS, strict=True))
        self.decoder = MLPDecoder(widths, decoder_channels, num_classes, dropout)
        self.exchange_dropout = exchange_dropout
        self.decode_alone = decode_alone

    def forward(self, rgb: Tensor | None, thermal: Tensor | None) -> Output:
        """Images (B, 3, H, W) and (B, 1, H, W) in 0..1, any H and W, one of them None if it is missing, to
        :class:`cimnet.models.base.Output`."""
        images = self.begin(rgb, thermal)
        rgb, thermal, has_rgb, has_thermal = images.rgb, images.thermal, images.has_rgb, images.has_thermal
        apart, single, chosen = self._streams_alone(rgb, images.has_both)
        offset: Tensor | None = None
        estimate: Tensor | None = None
        fused, offsets = [], []
        for n in range(4):
            rgb = run_on_present(self.recomputed(self.encoder_rgb.stages[n]), rgb, has_rgb, self.training)
            thermal = run_on_present(
                self.recomputed(self.encoder_thermal.stages[n]), thermal, has_thermal, self.training
            )
            entered_rgb = run_on_present(self.enter_rgb[n], rgb, has_rgb, self.training)
            entered_thermal = run_on_present(self.enter_thermal[n], thermal, has_thermal, self.training)
            out_rgb, out_thermal = entered_rgb, entered_thermal
            if offset is None:
                out_rgb, out_thermal, offset, estimate = self.cipa(out_rgb, out_thermal, images.has_both)
            else:
                offset = halve_offset(offset, (out_rgb.shape[-2], out_rgb.shape[-1]))
            out_rgb, out_thermal, offset = self.recomputed(self.scsfr[n])(out_rgb, out_thermal, offset)
            if self.scsfr[n].spatial is not None:
                offsets.append(offset)
            maps = self.recomputed(self.ffm[n])(out_rgb, out_thermal)
            if single is not None:
                maps = torch.where(single, entered_rgb + entered_thermal, maps)  # one of the two is zero
            if chosen:
                maps = torch.cat((maps, entered_rgb[chosen[0]], entered_thermal[chosen[1]]))
            fused.append(maps)
            if n < len(self.leave_rgb):
                back_rgb = self.leave_rgb[n](rgb, entered_rgb, out_rgb)
                back_thermal = self.leave_thermal[n](thermal, entered_thermal, out_thermal)
                if apart:
                    back_rgb = torch.where(apart[0], rgb, back_rgb)
                    back_thermal = torch.where(apart[1], thermal, back_thermal)
                rgb, thermal = back_rgb, back_thermal
        logits = self.restore(self.decoder(fused), images.padded, images.size)
        if not chosen:
            return Output(logits, estimate, tuple(offsets), images.flow)
        logits, *by_itself = torch.split(logits, [len(logits) - sum(map(len, chosen)), *map(len, chosen)])
        alone = (Alone(by_itself[0], chosen[0]), Alone(by_itself[1], chosen[1]))
        return Output(logits, estimate, tuple(offsets), images.flow, alone)

    def _streams_alone(self, rgb: Tensor, has_both: Tensor | None) -> tuple[list[Tensor], Tensor | None, list[Tensor]]:
        """What ``exchange_dropout`` and ``decode_alone`` ask for. In training the streams are drawn for each batch.

        Returns:
            apart: of either sensor, (B, 1, 1, 1), streams that nothing is handed back to; empty: none.
            single: (B, 1, 1, 1), with ``decode_alone``, pairs without one of the images; None: none.
            chosen: of either sensor, indices of whole pairs whose stream is decoded by itself, too; empty: none.
        """
        apart: list[Tensor] = []
        if self.training and self.exchange_dropout > 0:
            apart = list(torch.rand(2, len(rgb), 1, 1, 1, device=rgb.device) < self.exchange_dropout)
        if not self.decode_alone:
            return apart, None, []
        if has_both is None:
            return apart, None, [drawn.flatten().nonzero()[:, 0] for drawn in apart]
        single = ~has_both.view(-1, 1, 1, 1)
        chosen = [(drawn & ~single).flatten().nonzero()[:, 0] for drawn in apart]
        return [drawn | single for drawn in apart] or [single, single], single, chosen
