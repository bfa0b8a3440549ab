"""CIMNet, assembled as in the paper's Fig. 5. Each of the four stages n does this:

    RGB     ─▶ Lₙ ─▶ project ─┐                         ┌─▶ write back ─▶ Lₙ₊₁ of RGB
                              ├─▶ (CIPA) ─▶ SCSFR ─┬────┤
    thermal ─▶ Lₙ ─▶ project ─┘      δⁿ⁻¹ ─▶─┘ │   │    └─▶ write back ─▶ Lₙ₊₁ of thermal
                                               │   └─▶ FFM ─▶ MLP decoder, which takes all four
                                               └─▶ δⁿ, halved for stage n + 1

CIPA runs after stage 1 alone and gives δ⁰; nothing is written back after stage 4. To change what the streams exchange,
see :mod:`cimnet.models.scsfr`; :mod:`cimnet.models.baselines.parallel` is a whole model with another exchange.
"""

from __future__ import annotations

from typing import Any, get_args

from torch import Tensor, nn

from cimnet.models.base import EncoderInputs, Output
from cimnet.models.cipa import CIPA
from cimnet.models.ffm import FFM
from cimnet.models.lone_streams import LoneStreams, choose_lone_streams
from cimnet.models.mutual_information import MIMode
from cimnet.models.projections import HEADS
from cimnet.models.scsfr import SCSFR, OffsetUpdate, halve_offset
from cimnet.models.two_stream import Streams, TwoStream


class CIMNet(TwoStream):
    """Complementary Information Mining Network (TGRS 2026, doi 10.1109/TGRS.2026.3654044).

    Args:
        encoder: name for :func:`cimnet.models.encoder.create_encoder`; two of them are built, nothing is shared.
        num_classes: K.
        mutual_information: ``adversarial``, ``cooperative`` or None (no head). This is the switch MIR (mutual
            information) of the paper's Table III.
        msm: modality shift modelling, the first offsets (eq. 10); also a switch of Table III, as are the next two.
        swr, cwr: rectification by spatial weights (eq. 11–18) and by channel weights (eq. 19–23). Offsets act through
            the spatial step alone: without ``swr``, ``msm`` has no effect. Without both steps nothing is written back
            to the encoders.
        offset_update: ``replace`` or ``residual``, see :class:`cimnet.models.scsfr.SCSFR`.
        modulation: DCN v2's mask in the alignment.
        exchange_dropout: in training, probability per sample and stream that nothing is written back to its encoder,
            so that it learns to work alone. With 1 nothing is ever written back, also at inference. Not in the paper.
        decode_alone: if one image is missing, decode the other stream directly, past SCSFR and FFM. In training, also
            decode the streams drawn by ``exchange_dropout`` on their own: with 1, every pair trains three predictions,
            from both sensors, from RGB alone and from thermal alone. Not in the paper.
        options: what all models of two encoders take, see :class:`cimnet.models.two_stream.TwoStream`: ``widths`` (C of
            the four stages inside CIPA, SCSFR and FFM), ``decoder_channels``, ``pretrained``, ``input_scale``,
            ``dropout``, ``explicit_alignment`` (not in the paper).
    """

    def __init__(
        self,
        encoder: str,
        num_classes: int,
        mutual_information: MIMode | None = "adversarial",
        msm: bool = True,
        swr: bool = True,
        cwr: bool = True,
        offset_update: OffsetUpdate = "replace",
        modulation: bool = False,
        exchange_dropout: float = 0.0,
        decode_alone: bool = False,
        **options: Any,
    ) -> None:
        check_options(mutual_information, offset_update, exchange_dropout)
        super().__init__(encoder, num_classes, **options)
        self.add_projections()
        self.cipa = CIPA(self.widths[0], mutual_information=mutual_information, msm=msm and swr)
        self.scsfr = nn.ModuleList(
            SCSFR(c, offset_update=offset_update, modulation=modulation, swr=swr, cwr=cwr) for c in self.widths
        )
        self.add_write_backs(used=(swr or cwr) and exchange_dropout < 1)
        self.ffm = nn.ModuleList(FFM(c, heads) for c, heads in zip(self.widths, HEADS, strict=True))
        self.add_decoder()
        self.has_offsets = swr
        self.exchange_dropout = exchange_dropout
        self.decode_alone = decode_alone

    def forward(self, rgb: Tensor | None, thermal: Tensor | None) -> Output:
        """Images (B, 3, H, W) and (B, 1, H, W) in 0..1, any H and W, one of them None if it is missing, to
        :class:`cimnet.models.base.Output`."""
        images = self.begin(rgb, thermal)  # normalised and padded
        lone = self.choose_streams(images)  # not in the paper; with the default options, lone.* changes nothing
        maps = Streams(images.rgb, images.thermal)
        fused, offsets = [], []
        for n in range(4):  # the paper's stage n + 1, at 1/4, 1/8, 1/16 and 1/32 of the images
            maps = self.encode(n, maps, images)  # L: at the encoder's width
            projected = self.project(n, maps, images)  # from here on C = widths[n]
            rgb, thermal = projected
            if n == 0:
                rgb, thermal, offset, shared = self.cipa(rgb, thermal, images.has_both)  # δ⁰: (B, 2·K², H/4, W/4)
            else:
                offset = halve_offset(offset, (rgb.shape[-2], rgb.shape[-1]))
            rgb, thermal, offset = self.recomputed(self.scsfr[n])(rgb, thermal, offset)  # δ¹ … δ⁴
            offsets.append(offset)
            fused.append(lone.append(self.recomputed(self.ffm[n])(rgb, thermal), projected))
            maps = lone.without_exchange(maps, self.write_back(n, maps, projected, Streams(rgb, thermal)))
        output = self.read_out(self.decoder(fused), lone, images)
        offsets = offsets if self.has_offsets else []
        return output._replace(mutual_information=shared, offsets=tuple(offsets), flow=images.flow)

    def choose_streams(self, images: EncoderInputs) -> LoneStreams:
        """Which streams of the batch work without their partner."""
        share = self.exchange_dropout if self.training else 0.0
        return choose_lone_streams(images.rgb, images.has_both, share, self.decode_alone)

    def read_out(self, scores: Tensor, lone: LoneStreams, images: EncoderInputs) -> Output:
        """What the decoder gives, (B + streams, K, h/4, w/4), to logits at the images' size."""
        logits, alone = lone.split(self.restore(scores, images.padded, images.size))
        return Output(logits, alone=alone)


def check_options(mutual_information: str | None, offset_update: str, exchange_dropout: float) -> None:
    """Refuse options that would be taken for something else or break later.

    Raises:
        ValueError: naming the option.
    """
    if mutual_information not in (None, *get_args(MIMode)):
        raise ValueError(f"mutual_information is '{mutual_information}', choose {', '.join(get_args(MIMode))} or None")
    if offset_update not in get_args(OffsetUpdate):
        raise ValueError(f"offset_update is '{offset_update}', choose {' or '.join(get_args(OffsetUpdate))}")
    if not 0 <= exchange_dropout <= 1:
        raise ValueError(f"exchange_dropout is {exchange_dropout}, it must lie in 0..1")
