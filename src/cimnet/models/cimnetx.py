"""CIMNetX: CIMNet made for sensors that are displaced or broken. Not in the paper.

It adds three things to :class:`cimnet.models.cimnet.CIMNet`, each of which can be switched off by itself:

- the thermal image is aligned with the RGB image before the encoders (``explicit_alignment``);
- the encoders exchange nothing, and each pair gives three predictions: from both sensors, from RGB alone and from
  thermal alone (``exchange_dropout`` 1, ``decode_alone``);
- a gate decides at each pixel which of the three to believe (``reliability``), see
  :class:`cimnet.models.reliability_gate.ReliabilityGate`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cimnet.models.base import Alone, Auxiliary, EncoderInputs, Output
from cimnet.models.cimnet import CIMNet
from cimnet.models.lone_streams import EveryStream, LoneStreams
from cimnet.models.reliability_gate import ReliabilityGate

PAIR_WEIGHT = 0.25
"""Of the pair's own loss: what it has in CIMNet's mean of a pair and two streams, whose weights are 1, 1 and 2."""


class CIMNetX(CIMNet):
    """CIMNet with alignment, streams that work alone and a gate over what they say.

    Args:
        encoder, num_classes: as of CIMNet.
        reliability: weigh the three predictions. Without it, that of the pair stands.
        options: as of CIMNet; ``explicit_alignment`` and ``decode_alone`` are true and ``exchange_dropout`` is 1 where
            they are not given.

    Raises:
        ValueError: also ``reliability`` without ``decode_alone`` and ``exchange_dropout`` 1, which train the single
            sensors.
    """

    def __init__(self, encoder: str, num_classes: int, reliability: bool = True, **options: Any) -> None:
        options = {"explicit_alignment": True, "decode_alone": True, "exchange_dropout": 1.0, **options}
        super().__init__(encoder, num_classes, **options)
        if reliability and not (self.decode_alone and self.exchange_dropout == 1):
            raise ValueError(
                "reliability weighs predictions of single sensors, which need decode_alone: true and exchange_dropout: "
                "1; set them, or reliability: false"
            )
        self.gate = ReliabilityGate(num_classes) if reliability else None

    def choose_streams(self, images: EncoderInputs) -> LoneStreams:
        lone = super().choose_streams(images)
        return lone if self.gate is None else EveryStream(*lone)

    def read_out(self, scores: Tensor, lone: LoneStreams, images: EncoderInputs) -> Output:
        if self.gate is None:
            return super().read_out(scores, lone, images)
        pair, rgb, thermal = scores.chunk(3)
        mixed, weights = self.gate(pair, rgb, thermal, images.has_rgb, images.has_thermal)
        if not self.training:
            return Output(self.restore(mixed, images.padded, images.size), reliability=weights)
        mixed, pair, rgb, thermal = self.restore(
            torch.cat((mixed, pair, rgb, thermal)), images.padded, images.size
        ).chunk(4)
        assert lone.chosen is not None  # exchange_dropout is 1
        alone = Alone(rgb[lone.chosen.rgb], lone.chosen.rgb), Alone(thermal[lone.chosen.thermal], lone.chosen.thermal)
        return Output(mixed, alone=alone, auxiliary=(Auxiliary(pair, PAIR_WEIGHT),), reliability=weights)
