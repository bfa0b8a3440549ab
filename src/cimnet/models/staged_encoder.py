"""The form of every encoder: four stages that run one at a time, so that rectified features can enter the next
stage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn


class FirstStage(nn.Module):
    """Mixin of the stage that sees the image. In evaluation mode (in which frozen encoders always are), it runs in
    float32 even if autocast applies to the rest: in bfloat16, it would change the class of more pixels than all other
    layers (docs/deploy/export.md)."""

    def forward(self, x: Tensor) -> Tensor:
        """Output of the stage."""
        if self.training or not torch.is_autocast_enabled(x.device.type):
            return self.compute(x)
        with torch.autocast(x.device.type, enabled=False):
            return self.compute(x.float())

    def compute(self, x: Tensor) -> Tensor:
        """The stage itself, in the current precision."""
        return super().forward(x)


class TokenGrid(NamedTuple):
    """The form in which a plain vision transformer holds an image. All four stages return tensors of one shape
    (B, C, h, w + ``prefix``): the grid of patch tokens, and right of it, one column each, the tokens that belong to no
    place (class token, registers), with the same value in every row.

    Attributes:
        patch: side of a patch in pixels; h and w are the image's sides divided by it, rounded to the nearest.
        prefix: number of tokens that belong to no place.
    """

    patch: int
    prefix: int

    @property
    def stride(self) -> int:
        """The power of two nearest to the patch, 16 for patches of 14: the grid is resized to it for the pyramid."""
        return 1 << round(math.log2(self.patch))


class StagedEncoder(nn.Module):
    """Four stages. Of a hierarchical encoder, they give maps at 1/4, 1/8, 1/16 and 1/32 of the input; of a plain vision
    transformer, all four give its tokens (see :class:`TokenGrid`), and
    :class:`cimnet.models.token_pyramid.PyramidLevel` makes maps at these strides of them.

    A stage has no memory: stage ``n + 1`` depends only on its input, which is the output of stage ``n`` or, in models
    that write back, a tensor of the same shape.

    Args:
        stages: modules from the image, or from the previous stage's output, to this stage's output.
        channels: width of each stage's output.
        mean, std: statistics of the RGB input (0..1) that the pretrained weights expect.
        tokens: of a plain vision transformer; None of a hierarchical encoder.

    Attributes:
        frozen: the pretrained weights are not trained, and the encoder stays in evaluation mode; see
            :func:`cimnet.models.adapters.adapt_encoder`.
    """

    def __init__(
        self,
        stages: Sequence[nn.Module],
        channels: Sequence[int],
        mean: Sequence[float],
        std: Sequence[float],
        tokens: TokenGrid | None = None,
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.channels = tuple(channels)
        self.mean, self.std = tuple(mean), tuple(std)
        self.tokens = tokens
        self.frozen = False

    def forward_stage(self, index: int, x: Tensor) -> Tensor:
        """Run stage ``index`` (0..3) on the image or on the previous stage's output."""
        return self.stages[index](x)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) to the outputs of the four stages; H and W are multiples of 32."""
        maps = []
        for index in range(4):
            x = self.forward_stage(index, x)
            maps.append(x)
        return maps

    def train(self, mode: bool = True) -> Self:
        """Set the mode. A frozen encoder stays in evaluation mode: no dropout, no batch statistics."""
        return super().train(mode and not self.frozen)


def take_channels(encoder: StagedEncoder, channels: int, *, beside_rgb: bool = False) -> None:
    """Let the first convolution of an encoder of RGB images take other channels. Each of them gets the mean weight of
    red, green and blue, and all are scaled so that its output stays about as large as pretraining left it: of equal
    channels it is exactly that of one channel that is given three times.

    Args:
        channels: how many.
        beside_rgb: they come behind red, green and blue, which keep their weights up to the scale.
    """
    first = next(module for module in encoder.modules() if isinstance(module, nn.Conv2d))
    weight = first.weight.detach()
    added = weight.mean(1, keepdim=True).expand(-1, channels, -1, -1)
    widened = torch.cat((weight, added), dim=1) if beside_rgb else added
    first.in_channels = widened.shape[1]
    first.weight = nn.Parameter(3 / first.in_channels * widened, requires_grad=first.weight.requires_grad)
