"""Base of models with two encoders: a stream for each sensor, run stage by stage beside the other one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from cimnet.models.adapters import adapt_encoder
from cimnet.models.base import EncoderInputs, RGBTModel
from cimnet.models.blank import run_on_present
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
        encoder: name for :func:`cimnet.models.encoder.create_encoder`; it is built twice.
        num_classes: K, the number of classes.
        widths: channels C of the four stages (at 1/4, 1/8, 1/16 and 1/32 of the image) between encoders and decoder.
            The encoders' own channels are projected to them.
        decoder_channels: channels inside the MLP decoder. Default: the paper's.
        pretrained: whether both encoders start with ImageNet weights, which are downloaded on first use.
        input_scale: factor on height and width in evaluation mode, above 0 and at most 4. Below 1 the model is faster
            and sees less detail. The logits keep the size of the images.
        dropout: probability, 0 to 1, that a channel is dropped before the classifier, in training.
        explicit_alignment: whether the thermal image is registered to the RGB image before the encoders, see
            :class:`cimnet.models.explicit_alignment.ThermalAlignment`. It learns nothing. Needs ``thermal_channels`` 1.
        encoder_options: fields of :class:`cimnet.models.adapters.EncoderOptions`, for example ``{"freeze": True}``:
            which part of the encoders is trained. None: all of it.
        thermal_channels: channels of the second image, at least 1. With more than one, the thermal encoder's first
            convolution is widened, see :func:`cimnet.models.staged_encoder.take_channels`.

    Attributes:
        project_rgb, project_thermal: input projections, from :meth:`add_projections`.
        write_back_rgb, write_back_thermal: modules that write back to the encoders, from :meth:`add_write_backs`.
        decoder: MLP decoder, from :meth:`add_decoder`.

    Raises:
        ValueError: an argument is out of range.
        ConfigError: the encoder is unknown, or its weights cannot be loaded.
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
        """Run one stage of both encoders.

        Args:
            n: stage, 0 to 3.
            maps: the normalised images for stage 0, later what was written back after stage ``n - 1``.
            images: tells which images are blank; their streams stay zero.

        Returns:
            The encoders' maps (B, Cₑ, H / 2ⁿ⁺², W / 2ⁿ⁺²), at the encoders' own channels.
        """
        rgb, thermal = self.recomputed(self.encoder_rgb.stages[n]), self.recomputed(self.encoder_thermal.stages[n])
        return Streams(
            run_on_present(rgb, maps.rgb, images.has_rgb, self.training),
            run_on_present(thermal, maps.thermal, images.has_thermal, self.training),
        )

    def project(self, n: int, maps: Streams, images: EncoderInputs) -> Streams:
        """Project the encoders' maps of stage ``n`` (0 to 3) to ``widths[n]`` channels."""
        return Streams(
            run_on_present(self.project_rgb[n], maps.rgb, images.has_rgb, self.training),
            run_on_present(self.project_thermal[n], maps.thermal, images.has_thermal, self.training),
        )

    def write_back(self, n: int, maps: Streams, projected: Streams, rectified: Streams) -> Streams:
        """The input of the encoders' next stages: see :class:`cimnet.models.projections.WriteBack` and
        :class:`cimnet.models.token_pyramid.TokenWriteBack`.

        Args:
            n: stage, 0 to 3. After the last one nothing is written back.
            maps: the encoders' own maps of stage ``n``.
            projected: the same at ``widths[n]`` channels, before rectification.
            rectified: the same after rectification.

        Returns:
            Maps at the encoders' own channels; ``maps`` themselves where nothing is written back.
        """
        if n >= len(self.write_back_rgb):
            return maps
        return Streams(
            self.write_back_rgb[n](maps.rgb, projected.rgb, rectified.rgb),
            self.write_back_thermal[n](maps.thermal, projected.thermal, rectified.thermal),
        )
