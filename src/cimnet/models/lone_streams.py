"""Streams that work without their partner: ``exchange_dropout`` and ``decode_alone`` of CIMNet. Not in the paper.

With ``exchange_dropout``, some streams of a training batch get nothing back from rectification, so that each encoder
learns to work alone. With ``decode_alone``, a stream without a partner is decoded as it is: by itself in a pair that
lacks an image, and, in training, once more beside the fused pair where ``exchange_dropout`` chose it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from cimnet.models.output import Alone
from cimnet.models.two_stream import Streams


class LoneStreams(NamedTuple):
    """The streams of a batch of B pairs that work alone, from :func:`choose_lone_streams`.

    Attributes:
        apart: RGB and thermal, (B, 1, 1, 1) bool: streams that get nothing back; None: no stream.
        incomplete: (B, 1, 1, 1) bool: pairs that lack an image and are decoded from the other; None: no pair.
        chosen: RGB and thermal, (M,) int64: complete pairs whose stream is decoded once more by itself; None: no pair.
    """

    apart: Streams | None
    incomplete: Tensor | None
    chosen: Streams | None

    def without_exchange(self, own: Streams, written: Streams) -> Streams:
        """Return the maps for the encoders' next stages: their own where streams are ``apart``, otherwise
        ``written``."""
        if self.apart is None or written is own:
            return written
        return Streams(
            torch.where(self.apart.rgb, own.rgb, written.rgb),
            torch.where(self.apart.thermal, own.thermal, written.thermal),
        )

    def maps_to_decode(self, fused: Tensor, projected: Streams) -> Tensor:
        """The maps to decode. Of an ``incomplete`` pair, the stream that is there takes the place of the fused map
        (C, H, W). The streams that are ``chosen`` are appended to the batch."""
        fused = self.completed(fused, projected)
        if self.chosen is None:
            return fused
        return torch.cat((fused, projected.rgb[self.chosen.rgb], projected.thermal[self.chosen.thermal]))

    def completed(self, fused: Tensor, projected: Streams) -> Tensor:
        """The fused maps, and those of the stream that is there in ``incomplete`` pairs."""
        if self.incomplete is None:
            return fused
        return torch.where(self.incomplete, projected.rgb + projected.thermal, fused)  # one of the two is zero

    def split(self, logits: Tensor) -> tuple[Tensor, tuple[Alone, Alone] | None]:
        """Separate the logits of what :meth:`maps_to_decode` gave: those of the pairs (B, K, H, W), and those of the
        streams that it appended."""
        if self.chosen is None:
            return logits, None
        counts = [len(pairs) for pairs in self.chosen]
        logits, rgb, thermal = torch.split(logits, [len(logits) - sum(counts), *counts])
        return logits, (Alone(rgb, self.chosen.rgb), Alone(thermal, self.chosen.thermal))


class EveryStream(LoneStreams):
    """Streams of a batch that are all decoded by themselves."""

    def maps_to_decode(self, fused: Tensor, projected: Streams) -> Tensor:
        """The maps of all pairs, of all RGB streams and of all thermal streams: (3·B, C, H, W)."""
        return torch.cat((self.completed(fused, projected), *projected))


def choose_lone_streams(
    images: Tensor, has_both: Tensor | None, exchange_dropout: float, decode_alone: bool
) -> LoneStreams:
    """Choose the streams of a batch that work alone.

    Args:
        images: (B, …); the streams are drawn on its device.
        has_both: (B,) bool, which pairs are complete; None: all.
        exchange_dropout: share of streams to draw; 0 outside training.
        decode_alone: whether streams without a partner are decoded as they are.
    """
    apart: Streams | None = None
    if exchange_dropout > 0:
        apart = Streams(*(torch.rand(2, len(images), 1, 1, 1, device=images.device) < exchange_dropout))
    if not decode_alone:
        return LoneStreams(apart, None, None)
    if has_both is None:
        return LoneStreams(apart, None, None if apart is None else _complete(apart, None))
    incomplete = ~has_both.view(-1, 1, 1, 1)
    if apart is None:
        return LoneStreams(Streams(incomplete, incomplete), incomplete, None)
    kept = Streams(apart.rgb | incomplete, apart.thermal | incomplete)
    return LoneStreams(kept, incomplete, _complete(apart, incomplete))


def _complete(apart: Streams, incomplete: Tensor | None) -> Streams:
    """Indices of the streams that are apart, of complete pairs alone."""
    drawn = apart if incomplete is None else Streams(*(mask & ~incomplete for mask in apart))
    return Streams(*(mask.flatten().nonzero()[:, 0] for mask in drawn))
