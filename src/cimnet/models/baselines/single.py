"""Reference models with one encoder: one sensor, or both stacked (early fusion); CIMNet's encoder and decoder with
nothing between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from cimnet.models.adapters import adapt_encoder
from cimnet.models.base import RGBTModel
from cimnet.models.decoder import MLPDecoder
from cimnet.models.encoder import create_encoder
from cimnet.models.output import Output
from cimnet.models.projections import PAPER_WIDTHS, input_projections
from cimnet.models.staged_encoder import take_channels


class SingleStream(RGBTModel):
    """Segment with one encoder, as a reference for models with two. It takes the pair like every model of this package.

    Args:
        encoder: name for :func:`cimnet.models.encoder.create_encoder`.
        num_classes: K, the number of classes.
        modality: what the encoder sees: ``rgb``, ``thermal``, or ``stacked``, where the thermal image follows RGB as a
            fourth channel (early fusion).
        widths, decoder_channels, pretrained, input_scale, dropout, encoder_options, thermal_channels: as in
            :class:`cimnet.models.two_stream.TwoStream`.
        explicit_alignment: as there; only for ``stacked``, because the other two see one image.

    Raises:
        ValueError: an argument is out of range, or two do not go together.
        ConfigError: the encoder is unknown, or its weights cannot be loaded.
    """

    former_names: ClassVar[Mapping[str, str]] = {"enter": "project"}

    def __init__(
        self,
        encoder: str,
        num_classes: int,
        modality: Literal["rgb", "thermal", "stacked"],
        widths: Sequence[int] = PAPER_WIDTHS,
        decoder_channels: int = 512,
        pretrained: bool = False,
        input_scale: float = 1.0,
        dropout: float = 0.1,
        explicit_alignment: bool = False,
        encoder_options: Mapping[str, Any] | None = None,
        thermal_channels: int = 1,
    ) -> None:
        if modality not in ("rgb", "thermal", "stacked"):
            raise ValueError(f"modality is '{modality}', choose rgb, thermal or stacked")
        if explicit_alignment and modality != "stacked":
            raise ValueError(
                f"explicit_alignment brings two images together, and a model of {modality} alone sees one; take "
                "early_fusion, or leave it out"
            )
        network = adapt_encoder(create_encoder(encoder, pretrained), encoder_options)
        super().__init__(network.mean, network.std, input_scale, explicit_alignment, thermal_channels)
        if modality == "stacked" or (modality == "thermal" and thermal_channels > 1):
            take_channels(network, thermal_channels, beside_rgb=modality == "stacked")
        self.modality = modality
        self.encoder = network
        self.project = input_projections(network, widths)
        self.decoder = MLPDecoder(widths, decoder_channels, num_classes, dropout)

    def forward(self, rgb: Tensor | None, thermal: Tensor | None) -> Output:
        """Predict a batch of pairs, as :meth:`cimnet.models.CIMNet.forward`. An image that the encoder does not see may
        be anything.
        """
        images = self.begin(rgb, thermal, streams=False)
        seen = images.rgb if self.modality == "rgb" else images.thermal
        if self.modality == "stacked":
            seen = torch.cat((images.rgb, images.thermal[:, : self.thermal_channels]), dim=1)
        features = []
        for stage, project in zip(self.encoder.stages, self.project, strict=True):
            seen = self.recomputed(stage)(seen)
            features.append(project(seen))
        return Output(self.restore(self.decoder(features), images.padded, images.size), flow=images.flow)
