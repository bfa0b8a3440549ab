"""The base of all published networks: the original's input, and the names of its weights in the original's files."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from cimnet.models.base import RGBTModel
from cimnet.models.output import Output
from cimnet.models.zoo.official_names import Renames, to_official, to_ours
from cimnet.models.zoo.publication import ChannelOrder


class InputStatistics(NamedTuple):
    """The scaling of images in the original: (image in 0..1 − mean) / std, by position in the network's first layer.

    Attributes:
        rgb_mean, rgb_std: three numbers each.
        thermal_mean, thermal_std: one number where the network takes one thermal channel, three where it takes the same
            image three times.
    """

    rgb_mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    rgb_std: tuple[float, ...] = (0.229, 0.224, 0.225)
    thermal_mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    thermal_std: tuple[float, ...] = (0.229, 0.224, 0.225)


IMAGENET = InputStatistics()
UNSCALED = InputStatistics((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.0,), (1.0,))


class ZooNetwork(RGBTModel):
    """A published network: it computes what the original's code does, from images in 0..1.

    Two things differ from the models of this package. The statistics of thermal images are part of the network, so
    :meth:`set_thermal_statistics` keeps them. And the streams of a blank or missing image are computed like any other,
    because the original does so.

    Args:
        num_classes: K, the number of classes.
        statistics: mean and standard deviation of the original's input.
        channel_order: ``bgr`` for weights that were trained on images in the order blue, green, red. Callers still pass
            RGB; the network reverses the order.
        input_scale: factor on height and width in evaluation mode, above 0 and at most 4; 1 for none.

    Attributes:
        stride, least: the sizes that the original takes; 1 where it takes any. Images of others are padded.
        renames: names of weights in the original's files and here.
        linear: regular expressions for names, as here, of 1×1 convolutions whose weights are those of a linear layer
            in the original's files: (C, D, 1, 1) here, (C, D) there.
        unused: beginnings of names, as here, of weights that the original has and no logits depend on: they are kept
            so that its files load and its parameters count, take no gradient, and may be missing from a file.
        extra_allowed: the original's files hold weights of heads that only its training had, which are not published
            and are left out; otherwise an unknown name is an error.
    """

    stride = 1
    renames: ClassVar[Renames] = ()
    linear: ClassVar[Sequence[str]] = ()
    unused: Sequence[str] = ()
    extra_allowed: ClassVar[bool] = False

    def __init__(
        self,
        num_classes: int,
        statistics: InputStatistics,
        channel_order: ChannelOrder = "rgb",
        input_scale: float = 1.0,
    ) -> None:
        if channel_order not in ("rgb", "bgr"):
            raise ValueError(f"channel_order is '{channel_order}', choose rgb or bgr")
        step = -1 if channel_order == "bgr" else 1
        super().__init__(statistics.rgb_mean[::step], statistics.rgb_std[::step], input_scale)
        self.num_classes = num_classes
        self.channel_order = channel_order
        self.statistics = statistics._replace(rgb_mean=statistics.rgb_mean[::step], rgb_std=statistics.rgb_std[::step])
        self._write_statistics()

    def _write_statistics(self) -> None:
        for name, values in self.statistics._asdict().items():
            buffer: Tensor = getattr(self, name)
            setattr(self, name, torch.tensor(values, dtype=buffer.dtype, device=buffer.device).view(1, -1, 1, 1))

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> ZooNetwork:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # untyped in torch
        if self.rgb_mean.dtype == torch.float64:  # widened from float32 they would be off in the eighth digit
            self._write_statistics()
        return self

    def set_thermal_statistics(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        """Do nothing: the original's statistics stay."""

    def network_input(self, rgb: Tensor | None, thermal: Tensor | None) -> tuple[Tensor, Tensor, tuple[int, int]]:
        """The pair as the original's first layers take it.

        Args:
            rgb, thermal: (B, 3, H, W) and (B, 1, H, W) in 0..1, one of which may be None.

        Returns:
            RGB (B, 3, h, w) in the network's order of channels; thermal (B, 1 or 3, h, w); (H, W).

        Raises:
            ValueError: as :meth:`cimnet.models.RGBTModel.complete`.
        """
        images = self.begin(rgb, thermal, streams=False)
        colors = images.rgb.flip(1) if self.channel_order == "bgr" else images.rgb
        return colors, images.thermal[:, : self.thermal_mean.shape[1]], images.size

    def output(self, logits: Tensor, padded: Tensor, size: tuple[int, int]) -> Output:
        """Logits (B, K, ·, ·) of the ``padded`` image (B, C, h, w), at any size, to the output at ``size``.

        Those at the padded size already are cropped and not interpolated again. So are larger ones, of an original that
        rounds sizes up: their first row and column are the image's.
        """
        height, width = padded.shape[-2:]
        rows, columns = logits.shape[-2:]
        if (rows, columns) != (height, width) and rows >= height and columns >= width:
            logits = logits[:, :, :height, :width]
        if logits.shape[-2:] == (height, width) == size:
            return Output(logits)
        return Output(self.restore(logits, (height, width), size))

    def official_state(self) -> dict[str, Tensor]:
        """The weights under their names and in their shapes in the original's files."""
        state = {name: value for name, value in self.state_dict().items() if name not in InputStatistics._fields}
        return {
            to_official(name, self.renames): value.flatten(1) if self._is_linear(name) else value
            for name, value in state.items()
        }

    def own_names(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of the original under their names and in their shapes here."""
        own = {to_ours(name, self.renames): value for name, value in state.items()}
        return {
            name: value[:, :, None, None] if self._is_linear(name) and value.ndim == 2 else value
            for name, value in own.items()
        }

    def _is_linear(self, name: str) -> bool:
        return any(re.fullmatch(pattern, name) for pattern in self.linear)
