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

from cimnet.models.base import EncoderInputs
from cimnet.models.cipa import CIPA
from cimnet.models.ffm import FFM
from cimnet.models.lone_streams import LoneStreams, choose_lone_streams
from cimnet.models.mutual_information import MIMode
from cimnet.models.output import Output
from cimnet.models.projections import HEADS
from cimnet.models.scsfr import SCSFR, OffsetUpdate, halve_offset
from cimnet.models.two_stream import Streams, TwoStream


class CIMNet(TwoStream):
    """Complementary Information Mining Network (IEEE TGRS 2026, doi 10.1109/TGRS.2026.3654044). Equations are the
    paper's.

    Args:
        encoder: name for :func:`cimnet.models.encoder.create_encoder`, such as ``resnet101`` or ``mit_b4``. Two
            encoders are built, one for each sensor, and they share no weights.
        num_classes: K, the number of classes, at least 2.
        mutual_information: head of CIPA that measures, in training, what both streams share (eq. 1–5). ``adversarial``:
            the head keeps its estimate high while the features lower it. ``cooperative``: both lower it, as the paper
            words it. None: no head. This is the switch MIR of the paper's Table III.
        msm: whether CIPA predicts the first offsets (modality shift modelling, eq. 10). False: they are zero. The
            switch MSM of Table III.
        swr: whether SCSFR exchanges features by spatial weights (eq. 11–18). Only this step uses the offsets, so
            without it ``msm`` has no effect.
        cwr: whether SCSFR exchanges features by channel weights (eq. 19–23). With both ``swr`` and ``cwr`` False,
            nothing is written back to the encoders.
        offset_update: how a stage's offsets follow from those of the stage before. ``replace``: the new ones take their
            place, which is eq. 13 taken literally. ``residual``: the new ones are added.
        modulation: whether the deformable convolution also weighs its sampling points (DCN v2). Eq. 12 has no such
            weights.
        exchange_dropout: probability, 0 to 1, with which a stream of a training sample gets nothing back from the other
            one, so that each encoder learns to work alone. At 1 nothing is ever written back, at inference either. Not
            in the paper.
        decode_alone: whether a stream whose partner is missing goes straight to the decoder, past SCSFR and FFM. In
            training, streams that ``exchange_dropout`` chose are then decoded once more by themselves; at 1, every pair
            trains three predictions: from both sensors, from RGB and from thermal. Not in the paper.
        options: arguments of :class:`cimnet.models.two_stream.TwoStream`: ``widths`` (C of the four stages inside CIPA,
            SCSFR and FFM), ``decoder_channels``, ``pretrained``, ``input_scale``, ``dropout``, ``explicit_alignment``,
            ``encoder_options`` and ``thermal_channels``.

    Raises:
        ValueError: an option is out of range. :func:`cimnet.create_model` turns it into a ConfigError.
        ConfigError: the encoder is unknown, or its weights cannot be loaded.
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
        """Predict a batch of pairs.

        Args:
            rgb: (B, 3, H, W) in 0..1, red first; any H and W. None: the RGB images are missing.
            thermal: (B, C, H, W) in 0..1, C mostly 1, of the same H and W. None: the thermal images are missing.

        Returns:
            Logits (B, K, H, W) and, by the options, offsets, mutual information and logits of single streams.

        Raises:
            ValueError: both images are missing, or the shapes do not fit each other.
        """
        images = self.begin(rgb, thermal)  # normalised and padded
        lone = self.choose_streams(images)  # not in the paper; with the default options, lone.* changes nothing
        maps = Streams(images.rgb, images.thermal)
        fused, offsets = [], []
        for n in range(4):  # the paper's stage n + 1, at 1/4, 1/8, 1/16 and 1/32 of the images
            maps = self.encode(n, maps, images)  # L: at the encoder's width
            projected = self.project(n, maps, images)  # from here on C = widths[n]
            rgb, thermal = projected
            if n == 0:
                rgb, thermal, offset, information = self.cipa(rgb, thermal, images.has_both)  # δ⁰: (B, 2·k², H/4, W/4)
            else:
                offset = halve_offset(offset, (rgb.shape[-2], rgb.shape[-1]))
            rgb, thermal, offset = self.recomputed(self.scsfr[n])(rgb, thermal, offset)  # δ¹ … δ⁴
            offsets.append(offset)
            fused.append(lone.maps_to_decode(self.recomputed(self.ffm[n])(rgb, thermal), projected))
            maps = lone.without_exchange(maps, self.write_back(n, maps, projected, Streams(rgb, thermal)))
        output = self.read_out(self.decoder(fused), lone, images)
        offsets = offsets if self.has_offsets else []
        return output._replace(mutual_information=information, offsets=tuple(offsets), flow=images.flow)

    def choose_streams(self, images: EncoderInputs) -> LoneStreams:
        """Choose the streams of the batch that work without their partner."""
        share = self.exchange_dropout if self.training else 0.0
        return choose_lone_streams(images.rgb, images.has_both, share, self.decode_alone)

    def read_out(self, scores: Tensor, lone: LoneStreams, images: EncoderInputs) -> Output:
        """Turn the decoder's output into an :class:`Output` at the images' size.

        Args:
            scores: logits (B + M, K, h/4, w/4): those of the B pairs, then those of the M streams decoded by
                themselves.
            lone: which streams these are.
            images: as the encoders got them.
        """
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
