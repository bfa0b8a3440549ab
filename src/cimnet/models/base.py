"""The base of every model of this package: normalisation, any image size, ``predict``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cimnet.models.blank import BLACK, present_mask, shown_cells
from cimnet.models.explicit_alignment import ThermalAlignment, sample_at
from cimnet.models.output import Output
from cimnet.models.recompute import Checkpointing, recompute
from cimnet.models.state_names import rename_former_state


class EncoderInputs(NamedTuple):
    """Images that are ready for the encoders, from :meth:`RGBTModel.begin`.

    Attributes:
        rgb: (B, 3, h, w), normalised.
        thermal: (B, 3, h, w), normalised, its one channel three times; (B, C, h, w) if it has several channels.
            Registered to RGB if the model does that.
        size: (H, W) of the images as they were given.
        padded: (h, w), multiples of ``stride``, at least ``least``.
        has_rgb, has_thermal, has_both: (B,) bool, which RGB images, thermal images and whole pairs are not blank. None:
            all of them, or the caller did not ask.
        flow: as in :class:`Output`.
        shown_rgb, shown_thermal: (B, 1, h/4, w/4) bool, which cells of an image are not lost, see :func:`shown_cells`;
            of thermal where they are after the registration. None: all, or it was not found out.
    """

    rgb: Tensor
    thermal: Tensor
    size: tuple[int, int]
    padded: tuple[int, int]
    has_rgb: Tensor | None
    has_thermal: Tensor | None
    has_both: Tensor | None
    flow: Tensor | None
    shown_rgb: Tensor | None
    shown_thermal: Tensor | None


def zero_conv(in_channels: int, out_channels: int, kernel_size: int = 1) -> nn.Conv2d:
    """A convolution whose output has the input's size and is zero until it has learned something."""
    layer = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def class_ids(scores: Tensor, dim: int = 1) -> Tensor:
    """Index of the largest score along ``dim``, int64; the first one of equals. On a CPU, torch's argmax takes three to
    ten times as long."""
    return scores.max(dim).indices


def scaled_size(height: int, width: int, factor: float) -> tuple[int, int]:
    """Height and width of an image that is scaled by a factor, rounded, at least one pixel each."""
    return max(1, round(height * factor)), max(1, round(width * factor))


class RGBTModel(nn.Module):
    """Base of all models: it takes images in 0..1 and normalises, scales and pads them itself.

    A missing image (None) counts as a black one. In models with two streams, the stream of a blank image (all pixels
    alike) holds zeros, see :func:`run_on_present`.

    The statistics for normalisation are buffers, so they travel with the weights. Images are scaled by ``input_scale``
    and padded to a multiple of ``stride`` by repeating the border; the logits are cropped and resized back.

    Args:
        rgb_mean, rgb_std: mean and standard deviation of red, green and blue in 0..1, three numbers each: those of the
            data on which the encoder was pretrained.
        input_scale: factor on height and width before the encoders in evaluation mode, above 0 and at most 4. 1: none.
            Below 1 the model is faster and sees less detail. In training mode the images keep their size.
        explicit_alignment: whether the thermal image is registered to the RGB image before the encoders, see
            :class:`cimnet.models.explicit_alignment.ThermalAlignment`. For models that take both images through
            :meth:`begin`; needs ``thermal_channels`` 1.
        thermal_channels: channels C of the second image, at least 1. A thermal image has 1; another modality may have
            more.

    Attributes:
        stride: images are padded to multiples of this, pixels; 1 for a model that takes any size.
        least: images are padded to at least this height and width, pixels.
        checkpointing: in training, compute maps again for the gradient instead of keeping them: less memory, more
            time. True: all but the inputs of the stages; "light": what is not the result of a product.
        asks_for_lost: whether the model asks in evaluation mode which rows and columns are lost, see
            :func:`shown_cells`. With ``explicit_alignment``, it is found out in any case.
        black_levels: up to which values normalised pixels of RGB and thermal are black, tensors that broadcast to the
            images; None: as the statistics say. For a copy whose images come normalised.
        fitted_afterwards: beginnings of the names of weights that training leaves alone and no other model provides.
        former_names: modules that were renamed since version 0.1: old name to new name.

    Raises:
        ValueError: ``input_scale`` or ``thermal_channels`` is out of range.
    """

    stride = 32
    least = 1
    checkpointing: Checkpointing = False
    asks_for_lost: bool = False
    black_levels: tuple[Tensor, Tensor] | None = None
    fitted_afterwards: ClassVar[tuple[str, ...]] = ()
    former_names: ClassVar[Mapping[str, str]] = {}
    rgb_mean: Tensor
    rgb_std: Tensor
    thermal_mean: Tensor
    thermal_std: Tensor

    def __init__(
        self,
        rgb_mean: Sequence[float],
        rgb_std: Sequence[float],
        input_scale: float = 1.0,
        explicit_alignment: bool = False,
        thermal_channels: int = 1,
    ) -> None:
        super().__init__()
        if not 0 < input_scale <= 4:
            raise ValueError(f"input_scale is {input_scale}, it must lie above 0 and at most 4")
        if thermal_channels < 1 or (explicit_alignment and thermal_channels > 1):
            raise ValueError(
                f"thermal_channels is {thermal_channels}, it must be at least 1, and 1 with explicit_alignment"
            )
        self.thermal_channels = thermal_channels
        self.input_scale = input_scale
        self.alignment = ThermalAlignment() if explicit_alignment else None
        self.register_buffer("rgb_mean", torch.tensor(rgb_mean).view(1, 3, 1, 1))
        self.register_buffer("rgb_std", torch.tensor(rgb_std).view(1, 3, 1, 1))
        self.register_buffer("thermal_mean", torch.full((1, thermal_channels, 1, 1), 0.5))
        self.register_buffer("thermal_std", torch.full((1, thermal_channels, 1, 1), 0.25))
        self.register_load_state_dict_pre_hook(rename_former_state)  # type: ignore[no-untyped-call]  # untyped in torch

    def set_thermal_statistics(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        """Store how thermal images are normalised, beside the weights.

        Args:
            mean, std: mean and standard deviation of the training set's thermal images in 0..1: one number for all
                channels, or one for each channel. A standard deviation below 1e-4 is raised to it.
        """
        for buffer, value in ((self.thermal_mean, mean), (self.thermal_std, std)):
            buffer.copy_(torch.as_tensor(value, dtype=buffer.dtype).view(1, -1, 1, 1))
        self.thermal_std.clamp_(min=1e-4)

    def begin(self, rgb: Tensor | None, thermal: Tensor | None, streams: bool = True) -> EncoderInputs:
        """Prepare the images for the encoders; every ``forward`` starts with this.

        Args:
            rgb: (B, 3, H, W) in 0..1; None: missing.
            thermal: (B, C, H, W) in 0..1, C = ``thermal_channels``; None: missing.
            streams: whether the model has an encoder for each sensor. If so, find out which images are blank.

        Raises:
            ValueError: both images are missing, or the shapes do not fit each other.
        """
        rgb, thermal = self.complete(rgb, thermal)
        size = (rgb.shape[-2], rgb.shape[-1])
        masks: tuple[Tensor | None, ...] = (None, None, None)
        if streams or self.alignment is not None:
            there = present_mask(rgb), present_mask(thermal)
            masks = (*there, there[0] & there[1])
        rgb, thermal = self.prepare(rgb, thermal)
        if self.alignment is not None or (self.asks_for_lost and not self.training):
            masks = (*masks, *self.find_shown(rgb, thermal))
        has_rgb, has_thermal, has_both, *shown = self.drop_whole(masks)
        shown_rgb, shown_thermal = shown or (None, None)
        flow: Tensor | None = None
        if self.alignment is not None:
            thermal, flow = self.alignment(rgb, thermal, has_both, (shown_rgb, shown_thermal))
            if shown_thermal is not None:
                shown_thermal = sample_at(shown_thermal, flow) > 0.5
        padded = (rgb.shape[-2], rgb.shape[-1])
        return EncoderInputs(rgb, thermal, size, padded, has_rgb, has_thermal, has_both, flow, shown_rgb, shown_thermal)

    def complete(self, rgb: Tensor | None, thermal: Tensor | None) -> tuple[Tensor, Tensor]:
        """Check the shapes of a pair, and put zeros in place of a missing image.

        Args:
            rgb: (B, 3, H, W); None: missing.
            thermal: (B, C, H, W), C = ``thermal_channels``; None: missing.

        Returns:
            Both images.

        Raises:
            ValueError: both images are missing, or the shapes do not fit each other.
        """
        channels = self.thermal_channels
        if rgb is None:
            if thermal is None:
                raise ValueError("rgb and thermal are both None; give at least one image")
            rgb = thermal.new_zeros(len(thermal), 3, *thermal.shape[2:])
        if thermal is None:
            thermal = rgb.new_zeros(len(rgb), channels, *rgb.shape[2:])
        if rgb.ndim != 4 or rgb.shape[1] != 3 or thermal.shape != (rgb.shape[0], channels, *rgb.shape[2:]):
            raise ValueError(
                f"got rgb {tuple(rgb.shape)} and thermal {tuple(thermal.shape)}, expected (B, 3, H, W) and "
                f"(B, {channels}, H, W)"
            )
        return rgb, thermal

    def find_shown(self, rgb: Tensor, thermal: Tensor) -> tuple[Tensor, Tensor]:
        """Mark the cells of images (B, C, h, w), normalised and padded, that are not lost, see :func:`shown_cells`:
        (B, 1, h/4, w/4) bool of RGB and of thermal."""
        black = self.black_levels or self.find_black()
        thermal = thermal[:, : self.thermal_channels]
        return shown_cells(rgb.detach() - black[0]), shown_cells(thermal.detach() - black[1])

    def find_black(self) -> tuple[Tensor, Tensor]:
        """Up to which values normalised pixels are black: (1, 3, 1, 1) of RGB and (1, C, 1, 1) of thermal."""
        return (BLACK - self.rgb_mean) / self.rgb_std, (BLACK - self.thermal_mean) / self.thermal_std

    def drop_whole(self, masks: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
        """The masks; None for one that is true everywhere, which saves work.

        While a graph is traced they stay tensors, because a graph cannot branch on them.
        """
        if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            return masks
        known = [mask.all() for mask in masks if mask is not None]
        whole = iter(torch.stack(known).tolist() if known else ())  # the one time that the host waits
        return tuple(None if mask is None or next(whole) else mask for mask in masks)

    def recomputed(self, module: nn.Module) -> Callable[..., Any]:
        """The module as a callable; with ``checkpointing``, it runs a second time in the backward pass."""
        return partial(recompute, self.checkpointing, module) if self.checkpointing and self.training else module

    def prepare(self, rgb: Tensor, thermal: Tensor) -> tuple[Tensor, Tensor]:
        """Normalise, scale and pad a pair (B, 3, H, W) and (B, C, H, W) in 0..1.

        Returns:
            Both as (B, 3, h, w), h and w of :meth:`padded_size`; the one channel of a thermal image is repeated. A
            second image of several channels stays (B, C, h, w).
        """
        rgb = (rgb - self.rgb_mean) / self.rgb_std
        thermal = (thermal - self.thermal_mean) / self.thermal_std
        return self._fit(rgb), self._fit(thermal if self.thermal_channels > 1 else thermal.expand(-1, 3, -1, -1))

    def _fit(self, x: Tensor) -> Tensor:
        height, width = self.inner_size(x.shape[-2], x.shape[-1])
        if (height, width) != tuple(x.shape[-2:]):
            x = F.interpolate(x, size=(height, width), mode="bilinear", align_corners=False, antialias=True)
        if self.stride == self.least == 1:
            return x
        rows, columns = self.padded_size(height, width)
        return F.pad(x, (0, columns - width, 0, rows - height), mode="replicate")

    def inner_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that an image of this size has inside the model, before it is padded, pixels."""
        if self.training or self.input_scale == 1:
            return height, width
        return scaled_size(height, width, self.input_scale)

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width to which an image of this size inside the model is padded, pixels."""
        return self._padded(height), self._padded(width)

    def _padded(self, side: int) -> int:
        number, fewest = -(-side // self.stride), -(-self.least // self.stride)
        return self.stride * (number if fewest == 1 else max(number, fewest))  # torch.compile may leave a side free

    def restore(self, logits: Tensor, padded: tuple[int, int], size: tuple[int, int]) -> Tensor:
        """Bring logits back to the size of the images.

        Args:
            logits: (B, K, h', w'), of the padded image at any resolution, mostly a quarter.
            padded: (h, w) of the padded image.
            size: (H, W) of the images as they were given.

        Returns:
            (B, K, H, W)
        """
        logits = F.interpolate(logits, size=padded, mode="bilinear", align_corners=False)
        height, width = self.inner_size(*size)
        logits = logits[:, :, :height, :width]
        if (height, width) != size:
            logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        return logits

    @torch.inference_mode()
    def predict(self, rgb: Tensor | None, thermal: Tensor | None) -> Tensor:
        """Segment a batch of pairs in evaluation mode; the modules' modes are as before afterwards.

        Args:
            rgb: (B, 3, H, W) in 0..1, red first; any H and W. None: missing.
            thermal: (B, C, H, W) in 0..1, C = ``thermal_channels``. None: missing.

        Returns:
            Class ids (B, H, W), int64.

        Raises:
            ValueError: both images are missing, or the shapes do not fit each other.
        """
        modes = {module: module.training for module in self.modules()}
        self.eval()
        try:
            output: Output = self(rgb, thermal)
            return class_ids(output.logits)
        finally:
            for module, mode in modes.items():  # not self.train(): frozen parts stay in evaluation mode
                module.training = mode
