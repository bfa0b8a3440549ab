"""CMNeXt for RGB and one more sensor: Delivering Arbitrary-Modal Semantic Segmentation.

Zhang, Liu, Shi, Yang, Reiß, Peng, Fu, Wang, Stiefelhagen, CVPR 2023, arXiv 2303.01480. The original's licence is
Apache-2.0; its README asks commercial users to contact the authors. Parameters with 9 classes: 58.69 M (MiT-B2),
116.56 M (B4), 148.97 M (B5).

With one further sensor, the module that chooses between sensors does not exist, and CMNeXt is CMX with a stream of
convolutions in place of the second transformer.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from timm.layers import DropPath, LayerNorm2d
from torch import Tensor, nn

from cimnet.models.encoder import IMAGENET_MEAN, IMAGENET_STD, create_encoder
from cimnet.models.registry import register_network
from cimnet.models.staged_encoder import StagedEncoder
from cimnet.models.zoo.network import IMAGENET
from cimnet.models.zoo.official_names import Renames
from cimnet.models.zoo.publication import ChannelOrder, Publication, Score
from cimnet.models.zoo.rectified import SHARED_NAMES, RectifiedStreams, blocks_of, draw_weights, mit_names

DROP_PATH = 0.1
RATIOS = (8, 8, 4, 4)
"""How many times wider the MLP of a pooling block is, by stage."""
THERMAL_UNSCALED = IMAGENET._replace(thermal_mean=(0.0, 0.0, 0.0), thermal_std=(1.0, 1.0, 1.0))


class PoolingAttention(nn.Module):
    """A gate from a large neighbourhood: a depthwise 7×7 convolution, added to its averages over 3, 7 and 11 pixels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.gate = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        near = self.depthwise(x)
        wide = near + _average(near, 3) + _average(near, 7) + _average(near, 11)
        return torch.sigmoid(self.gate(wide)) * x + x


def _average(x: Tensor, side: int) -> Tensor:
    """Mean over the side×side pixels around each one that lie in the map. That is the mean over rows of means over
    columns, which costs 2·side instead of side² additions."""
    x = F.avg_pool2d(x, (side, 1), 1, (side // 2, 0), count_include_pad=False)
    return F.avg_pool2d(x, (1, side), 1, (0, side // 2), count_include_pad=False)


class ConvolutionalMLP(nn.Module):
    """1×1 to ``ratio`` times the width, depthwise 3×3, GELU, 1×1 back."""

    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels, ratio * channels, 1)
        self.depthwise = nn.Conv2d(ratio * channels, ratio * channels, 3, padding=1, groups=ratio * channels)
        self.reduce = nn.Conv2d(ratio * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return self.reduce(F.gelu(self.depthwise(self.expand(x))))


class PoolingBlock(nn.Module):
    """PPX, a block of the thermal stream: pooling attention, a gate by channel on its result, and an MLP.

    Args:
        channels: C.
        ratio: width of the MLP, as a multiple of C.
        drop_path: probability that a sample skips a part.
    """

    def __init__(self, channels: int, ratio: int, drop_path: float) -> None:
        super().__init__()
        self.norm_attention, self.norm_mlp = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.attention = PoolingAttention(channels)
        self.mlp = ConvolutionalMLP(channels, ratio)
        self.channel_gate = nn.Conv1d(1, 1, 3, padding=1, bias=False)  # along the channels
        self.scale_attention = nn.Parameter(torch.full((channels,), 0.01))
        self.scale_mlp = nn.Parameter(torch.full((channels,), 0.01))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        x = x + self.drop_path(_scaled(self.attention(self.norm_attention(x)), self.scale_attention))
        gate = torch.sigmoid(self.channel_gate(x.mean((2, 3))[:, None]))[:, 0, :, None, None]
        return gate * x + self.drop_path(_scaled(self.mlp(self.norm_mlp(x)), self.scale_mlp))


def _scaled(x: Tensor, scale: Tensor) -> Tensor:
    return scale[:, None, None] * x


class PatchEmbedding(nn.Module):
    """A convolution with a stride, then normalisation over the channels."""

    def __init__(self, in_channels: int, channels: int, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, channels, kernel_size, stride, padding=kernel_size // 2)
        self.norm = LayerNorm2d(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, ``channels``, ⌈H / stride⌉, ⌈W / stride⌉)."""
        return self.norm(self.proj(x))


class PoolingStage(nn.Module):
    """One stage of the thermal stream: patch embedding, blocks, norm."""

    def __init__(self, embed: nn.Module, channels: int, ratio: int, drop_paths: Sequence[float]) -> None:
        super().__init__()
        self.embed = embed
        self.blocks = nn.Sequential(*(PoolingBlock(channels, ratio, drop_path) for drop_path in drop_paths))
        self.norm = LayerNorm2d(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """A map to that of the next stage."""
        return self.norm(self.blocks(self.embed(x)))


def pooling_encoder(channels: Sequence[int], depths: Sequence[int]) -> StagedEncoder:
    """The thermal stream: PPX blocks where the RGB stream has ``depths`` transformer blocks of ``channels``."""
    rates = iter(torch.linspace(0, DROP_PATH, sum(depths), device="cpu").tolist())
    stages, before = [], 3
    for n, (width, depth) in enumerate(zip(channels, depths, strict=True)):
        embed = PatchEmbedding(before, width, *((3, 2) if n else (7, 4)))
        stages.append(PoolingStage(embed, width, RATIOS[n], [next(rates) for _ in range(depth)]))
        before = width
    return StagedEncoder(stages, channels, IMAGENET_MEAN, IMAGENET_STD)


def _pooling_names() -> Renames:
    parts = (
        ("norm1.", "norm_attention."),
        ("norm2.", "norm_mlp."),
        ("layer_scale_1", "scale_attention"),
        ("layer_scale_2", "scale_mlp"),
        ("attn.conv0.", "attention.depthwise."),
        ("attn.conv4.", "attention.gate."),
        ("mlp.fc1.", "mlp.expand."),
        ("mlp.dwconv.dwconv.", "mlp.depthwise."),
        ("mlp.fc2.", "mlp.reduce."),
        ("c_nets.0.", "channel_gate."),
    )
    rows = [
        (f"backbone.extra_block{n + 1}.*.{official}", f"encoder_thermal.stages.{n}.blocks.*.{ours}")
        for n in range(4)
        for official, ours in parts
    ]
    return [
        ("backbone.extra_downsample_layers.*.proj.module.", "encoder_thermal.stages.*.embed.proj."),
        ("backbone.extra_downsample_layers.*.norm.ln_0.", "encoder_thermal.stages.*.embed.norm."),
        *((f"backbone.extra_norm{n + 1}.", f"encoder_thermal.stages.{n}.norm.") for n in range(4)),
        *rows,
    ]


class CMNeXt(RectifiedStreams):
    """CMNeXt of two sensors: a MiT encoder for RGB, a stream of pooling blocks for thermal; FRM and FFM after each
    stage; the MLP head of SegFormer. Thermal images stay in 0..1, without mean and deviation.

    Args:
        encoder: ``mit_b0`` … ``mit_b5``, of the RGB stream; the thermal one has its widths and depths.
        num_classes: K, the number of classes.
        channel_order: order in which the weights expect the colours, ``rgb`` or ``bgr``. Callers always pass RGB.
        input_scale: factor on height and width in evaluation mode, above 0 and at most 4; 1 for none.
        pretrained: ImageNet weights for the RGB stream, as in the original.
        embedding: number of channels inside the head.

    Raises:
        ConfigError: the ImageNet weights cannot be loaded.
    """

    renames: ClassVar[Renames] = (
        *_pooling_names(),
        *mit_names("backbone.", "encoder_rgb"),
        ("decode_head.linear_fuse.conv.", "decoder.mix.0."),
        ("decode_head.linear_fuse.bn.", "decoder.mix.1."),
        *SHARED_NAMES,
    )

    def __init__(
        self,
        encoder: str,
        num_classes: int,
        *,
        channel_order: ChannelOrder = "rgb",
        input_scale: float = 1.0,
        pretrained: bool = False,
        embedding: int = 512,
    ) -> None:
        encoder_rgb = create_encoder(encoder, pretrained)
        for module in encoder_rgb.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = 1e-5  # MiT, and so its ImageNet weights, has 1e-6 in most places
        depths = [len(blocks) for blocks in blocks_of(encoder_rgb)]
        super().__init__(
            encoder_rgb,
            pooling_encoder(encoder_rgb.channels, depths),
            num_classes,
            THERMAL_UNSCALED,
            mix_bias=False,
            embedding=embedding,
            channel_order=channel_order,
            input_scale=input_scale,
        )
        for module in (self.encoder_thermal, self.rectify, self.fuse, self.decoder):
            draw_weights(module, depthwise=False)
        for layer in self.decoder.project:
            nn.init.trunc_normal_(layer.get_parameter("weight"), std=0.02)


_PUBLISHED = partial(
    Publication,
    paper="Zhang et al., CVPR",
    year=2023,
    link="https://arxiv.org/abs/2303.01480",
    code="https://github.com/jamycheung/DELIVER",
    licence="Apache-2.0",
)
PUBLICATIONS: dict[str, Publication] = {
    "cmnext_mit_b2": _PUBLISHED("CMNeXt-B2", checkpoint="none offered for RGB and thermal"),
    "cmnext_mit_b4": _PUBLISHED(
        "CMNeXt-B4",
        checkpoint="https://drive.google.com/drive/folders/1OaOHMbD5P_HPwTzzXwdYRUFIiGkyFQfP",
        scores={"mfnet": Score(59.9, "README of the code", chosen_on_test=True)},
    ),
    "cmnext_mit_b5": _PUBLISHED("CMNeXt-B5", checkpoint="none offered for RGB and thermal"),
}

for _depth in (2, 4, 5):
    register_network(f"cmnext_mit_b{_depth}")(partial(CMNeXt, f"mit_b{_depth}"))
register_network("small_cmnext_mit_b0")(partial(CMNeXt, "mit_b0", embedding=256))
