"""CIMNetX: CIMNet made for sensors that are displaced or broken. Not in the paper.

It adds three things to :class:`cimnet.models.cimnet.CIMNet`:

- the thermal image is aligned with the RGB image before the encoders (``explicit_alignment``);
- the encoders exchange nothing, and each pair trains three predictions: from both sensors, from RGB alone and from
  thermal alone (``exchange_dropout`` 1, ``decode_alone``);
- in evaluation mode a gate mixes the three at each pixel (``reliability``), see
  :class:`cimnet.models.reliability_gate.ReliabilityGate`. `cimnet calibrate` fits it after the training, on pairs with
  defects; until then its weights are the same everywhere.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from cimnet.models.base import EncoderInputs
from cimnet.models.cimnet import CIMNet
from cimnet.models.lone_streams import EveryStream, LoneStreams
from cimnet.models.output import Output
from cimnet.models.reliability_gate import ReliabilityGate


class CIMNetX(CIMNet):
    """CIMNet for sensors that are displaced or broken: explicit alignment, streams that work alone, and a gate that
    weighs their predictions. Not in the paper.

    Args:
        encoder: name for :func:`cimnet.models.encoder.create_encoder`.
        num_classes: K, the number of classes, at least 2.
        reliability: whether, in evaluation mode, a gate mixes the predictions from both sensors, from RGB and from
            thermal at each pixel. `cimnet calibrate` fits the gate after training. False: the prediction from both
            sensors stands.
        options: arguments of :class:`cimnet.models.CIMNet`. Other defaults than there: ``explicit_alignment`` and
            ``decode_alone`` are True, ``exchange_dropout`` is 1.

    Raises:
        ValueError: an option is out of range, or ``reliability`` is combined with ``decode_alone`` False or an
            ``exchange_dropout`` below 1: then nothing trains the predictions from single sensors.
    """

    fitted_afterwards = ("reliability.",)

    def __init__(self, encoder: str, num_classes: int, reliability: bool = True, **options: Any) -> None:
        options = {"explicit_alignment": True, "decode_alone": True, "exchange_dropout": 1.0, **options}
        super().__init__(encoder, num_classes, **options)
        if reliability and not (self.decode_alone and self.exchange_dropout == 1):
            raise ValueError(
                "reliability weighs predictions of single sensors, which need decode_alone: true and exchange_dropout: "
                "1; set them, or reliability: false"
            )
        self.reliability = ReliabilityGate().requires_grad_(False) if reliability else None
        self.asks_for_lost = reliability

    def choose_streams(self, images: EncoderInputs) -> LoneStreams:
        """Choose the streams of the batch that work without their partner. With the gate, in evaluation mode, every
        stream is decoded by itself, too."""
        lone = super().choose_streams(images)
        return lone if self.reliability is None or self.training else EveryStream(*lone)

    def read_out(self, scores: Tensor, lone: LoneStreams, images: EncoderInputs) -> Output:
        """Turn the decoder's output into an :class:`Output` at the images' size. With the gate, in evaluation mode, the
        three predictions of each pair are mixed first.

        Args:
            scores: logits. With the gate, in evaluation mode: (3·B, K, h/4, w/4), those of the B pairs, of their RGB
                streams and of their thermal streams. Otherwise as in :meth:`cimnet.models.CIMNet.read_out`.
            lone: which streams these are.
            images: as the encoders got them.
        """
        if self.reliability is None or self.training:
            return super().read_out(scores, lone, images)
        opinions = scores.reshape(3, images.rgb.shape[0], *scores.shape[1:])  # of pairs, RGB alone, thermal alone
        shown = (_shown(images.has_rgb, images.shown_rgb), _shown(images.has_thermal, images.shown_thermal))
        mixed, weights = self.reliability(*opinions, *shown)
        return Output(self.restore(mixed, images.padded, images.size), reliability=weights)


def _shown(there: Tensor | None, cells: Tensor | None) -> Tensor | None:
    """Where an image shows anything, given which images are there (B,) and which of their cells (B, 1, h, w); None:
    all."""
    if there is None or cells is None:
        return cells if there is None else there.view(-1, 1, 1, 1)
    return there.view(-1, 1, 1, 1) & cells
