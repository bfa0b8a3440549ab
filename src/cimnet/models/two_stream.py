"""Base of models with two encoders: a stream for each sensor, run stage by stage beside the other one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from cimnet.models.adapters import adapt_encoder
from cimnet.models.base import EncoderInputs, RGBTModel, run_on_present
from cimnet.models.decoder import MLPDecoder
from cimnet.models.encoder import create_encoder
from cimnet.models.projections import PAPER_WIDTHS, input_projections, write_backs
from cimnet.models.staged_encoder import take_channels


class Streams(NamedTuple):
    """The maps of both streams at one stage, (B, C, H, W) each; for the encoders, the outputs of their stages."""

    rgb: Tensor
    thermal: Tensor


class TwoStream(RGBTModel):
    """Base of models with an encoder for each sensor; the two share no weights.

    A subclass adds its modules in the order in which they run, the decoder last. That order decides the weights that a
    seed gives them, and the order of the optimiser's state in a run folder.

    Args:
        encoder: name for :func:`cimnet.models.encoder.create_encoder`.
        num_classes: K.
        widths: C of the four stages between the encoders.
        decoder_channels: embedding of the MLP decoder (paper: 512).
        pretrained: ImageNet weights for both encoders.
        input_scale, explicit_alignment, thermal_channels: see :class:`cimnet.models.base.RGBTModel`. With more than one
            channel the thermal encoder's first convolution takes them all, see
            :func:`cimnet.models.staged_encoder.take_channels`.
        dropout: in the decoder.
        encoder_options: which part of the encoders is trained, by the names of
            :class:`cimnet.models.adapters.EncoderOptions`; None: all of it.

    Attributes:
        project_rgb, project_thermal: from :meth:`add_projections`.
        write_back_rgb, write_back_thermal: from :meth:`add_write_backs`.
        decoder: from :meth:`add_decoder`.

    Raises:
        ValueError: an argument that cannot be used.
    """

    former_names: ClassVar[Mapping[str, str]] = {
        "enter_rgb": "project_rgb",
        "enter_thermal": "project_thermal",
        "leave_rgb": "write_back_rgb",
        "leave_thermal": "write_back_thermal",
    }
    project_rgb: nn.ModuleList
    project_thermal: nn.ModuleList
    write_back_rgb: nn.ModuleList
    write_back_thermal: nn.ModuleList
    decoder: MLPDecoder

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
        encoder_options: Mapping[str, Any] | None = None,
        thermal_channels: int = 1,
    ) -> None:
        encoder_rgb = adapt_encoder(create_encoder(encoder, pretrained), encoder_options)
        encoder_thermal = adapt_encoder(create_encoder(encoder, pretrained), encoder_options)
        super().__init__(encoder_rgb.mean, encoder_rgb.std, input_scale, explicit_alignment, thermal_channels)
        if thermal_channels > 1:
            take_channels(encoder_thermal, thermal_channels)
        self.encoder_rgb, self.encoder_thermal = encoder_rgb, encoder_thermal
        self.widths = tuple(widths)
        self._build_decoder = partial(MLPDecoder, self.widths, decoder_channels, num_classes, dropout)

    def add_projections(self) -> None:
        """Add the input projections of all four stages."""
        self.project_rgb = input_projections(self.encoder_rgb, self.widths)
        self.project_thermal = input_projections(self.encoder_thermal, self.widths)

    def add_write_backs(self, used: bool = True) -> None:
        """Add the modules that write back into the encoders after all stages except the last; none if not ``used``."""
        self.write_back_rgb = write_backs(self.encoder_rgb, self.widths) if used else nn.ModuleList()
        self.write_back_thermal = write_backs(self.encoder_thermal, self.widths) if used else nn.ModuleList()

    def add_decoder(self) -> None:
        """Add the decoder, which turns four maps, one of each of ``widths``, into logits."""
        self.decoder = self._build_decoder()

    def encode(self, n: int, maps: Streams, images: EncoderInputs) -> Streams:
        """Run stage ``n`` (0..3) of both encoders on the images, or on what was written back after stage ``n - 1``."""
        rgb, thermal = self.recomputed(self.encoder_rgb.stages[n]), self.recomputed(self.encoder_thermal.stages[n])
        return Streams(
            run_on_present(rgb, maps.rgb, images.has_rgb, self.training),
            run_on_present(thermal, maps.thermal, images.has_thermal, self.training),
        )

    def project(self, n: int, maps: Streams, images: EncoderInputs) -> Streams:
        """Bring the encoders' maps of stage ``n`` to that stage's C."""
        return Streams(
            run_on_present(self.project_rgb[n], maps.rgb, images.has_rgb, self.training),
            run_on_present(self.project_thermal[n], maps.thermal, images.has_thermal, self.training),
        )

    def write_back(self, n: int, maps: Streams, projected: Streams, rectified: Streams) -> Streams:
        """The input of the encoders' next stages: see :class:`cimnet.models.projections.WriteBack` and
        :class:`cimnet.models.token_pyramid.TokenWriteBack`. ``maps`` themselves where nothing is written back.

        Args:
            maps: the encoders' own maps of stage ``n``.
            projected, rectified: at that stage's C, before and after rectification.
        """
        if n >= len(self.write_back_rgb):
            return maps
        return Streams(
            self.write_back_rgb[n](maps.rgb, projected.rgb, rectified.rgb),
            self.write_back_thermal[n](maps.thermal, projected.thermal, rectified.thermal),
        )
