"""The data flow that CMX and CMNeXt share: two streams that rectify each other after each stage, and one head."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from timm.layers import trunc_normal_
from torch import Tensor, nn

from cimnet.models.decoder import MLPDecoder
from cimnet.models.ffm import FFM
from cimnet.models.frm import FRM
from cimnet.models.output import Output
from cimnet.models.projections import HEADS
from cimnet.models.staged_encoder import StagedEncoder
from cimnet.models.zoo.network import InputStatistics, ZooNetwork
from cimnet.models.zoo.official_names import Renames
from cimnet.models.zoo.publication import ChannelOrder


class RectifiedStreams(ZooNetwork):
    """Two streams of four stages. After each stage, FRM rectifies both maps, which enter the next stage of their
    streams; FFM fuses them, and only the head gets the fused map.

    Args:
        encoder_rgb, encoder_thermal: of equal widths.
        num_classes: K, the number of classes.
        statistics: of the original's input.
        mix_bias: whether the head's fusing convolution has a bias.
        head_eps: epsilon of the head's batch normalisation.
        embedding: number of channels inside the head.
        channel_order: order in which the weights expect the colours, ``rgb`` or ``bgr``. Callers always pass RGB.
        input_scale: factor on height and width in evaluation mode, above 0 and at most 4; 1 for none.

    Raises:
        ValueError: an argument is out of range.
    """

    least = 29  # the first stage's attention needs 8×8 positions
    linear: ClassVar[Sequence[str]] = (r"decoder\.project\.\d\.weight",)

    def __init__(
        self,
        encoder_rgb: StagedEncoder,
        encoder_thermal: StagedEncoder,
        num_classes: int,
        statistics: InputStatistics,
        mix_bias: bool,
        head_eps: float = 1e-5,
        embedding: int = 512,
        channel_order: ChannelOrder = "rgb",
        input_scale: float = 1.0,
    ) -> None:
        super().__init__(num_classes, statistics, channel_order, input_scale)
        if not isinstance(head_eps, int | float) or not 0 < head_eps < 1:
            raise ValueError(f"head_eps is {head_eps!r}, it must be a number above 0 and below 1")
        channels = encoder_rgb.channels
        self.encoder_rgb, self.encoder_thermal = encoder_rgb, encoder_thermal
        self.rectify = nn.ModuleList(FRM(c) for c in channels)
        self.fuse = nn.ModuleList(FFM(c, heads) for c, heads in zip(channels, HEADS, strict=True))
        self.decoder = MLPDecoder(channels, embedding, num_classes, mix_bias=mix_bias, deepest_first=True, eps=head_eps)

    def forward(self, rgb: Tensor | None, thermal: Tensor | None) -> Output:
        """Images (B, 3, H, W) and (B, 1, H, W) in 0..1, one of them None if it is missing, to
        :class:`cimnet.models.output.Output`."""
        rgb, thermal, size = self.network_input(rgb, thermal)
        image, fused = rgb, []
        for n in range(4):
            rgb = self.recomputed(self.encoder_rgb.stages[n])(rgb)
            thermal = self.recomputed(self.encoder_thermal.stages[n])(thermal)
            rgb, thermal = self.recomputed(self.rectify[n])(rgb, thermal)
            fused.append(self.recomputed(self.fuse[n])(rgb, thermal))
        return self.output(self.decoder(fused), image, size)


def blocks_of(encoder: StagedEncoder) -> list[list[nn.Module]]:
    """The blocks of each stage of a MiT encoder."""
    return [list(stage.get_submodule("blocks").children()) for stage in encoder.stages]


def draw_weights(module: nn.Module, depthwise: bool = True) -> None:
    """Start linear layers and convolutions of a module as MiT does: truncated normal numbers of deviation 0.02, and
    normal numbers of deviation √(2 / fan out); biases are zero.

    Args:
        depthwise: whether the fan of a convolution of groups is that of one group.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            trunc_normal_(layer.weight, std=0.02)
        elif isinstance(layer, nn.Conv2d):
            fan_out = math.prod(layer.kernel_size) * layer.out_channels / (layer.groups if depthwise else 1)
            nn.init.normal_(layer.weight, std=math.sqrt(2 / fan_out))
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def mit_names(official: str, ours: str) -> Renames:
    """Names of a MiT encoder: their beginning in the original's files, for example ``backbone.extra_``, and here."""
    parts = (("patch_embed", "embed"), ("block", "blocks"), ("norm", "norm"))
    return [(f"{official}{old}{n + 1}.", f"{ours}.stages.{n}.{new}.") for n in range(4) for old, new in parts]


SHARED_NAMES: Renames = (
    ("backbone.FRMs.*.channel_weights.mlp.", "rectify.*.channel."),
    ("backbone.FRMs.*.spatial_weights.mlp.", "rectify.*.spatial."),
    ("backbone.FFMs.*.cross.channel_proj1.", "fuse.*.project_rgb."),
    ("backbone.FFMs.*.cross.channel_proj2.", "fuse.*.project_thermal."),
    ("backbone.FFMs.*.cross.cross_attn.kv1.", "fuse.*.attention.key_value_rgb."),
    ("backbone.FFMs.*.cross.cross_attn.kv2.", "fuse.*.attention.key_value_thermal."),
    ("backbone.FFMs.*.cross.end_proj1.", "fuse.*.merge_rgb."),
    ("backbone.FFMs.*.cross.end_proj2.", "fuse.*.merge_thermal."),
    ("backbone.FFMs.*.cross.norm1.", "fuse.*.norm_rgb."),
    ("backbone.FFMs.*.cross.norm2.", "fuse.*.norm_thermal."),
    ("backbone.FFMs.*.channel_emb.residual.", "fuse.*.embed.skip."),
    ("backbone.FFMs.*.channel_emb.channel_embed.", "fuse.*.embed.mix."),
    ("backbone.FFMs.*.channel_emb.norm.", "fuse.*.embed.norm."),
    *((f"decode_head.linear_c{n + 1}.proj.", f"decoder.project.{n}.") for n in range(4)),
    ("decode_head.linear_pred.", "decoder.classify."),
)
