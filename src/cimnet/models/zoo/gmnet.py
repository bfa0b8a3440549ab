"""GMNet: graded-feature multilabel-learning network for RGB-thermal urban scene semantic segmentation, with ResNet-50.

Zhou, Liu, Lei, Yu and Hwang, IEEE Transactions on Image Processing 30, 2021, doi 10.1109/TIP.2021.3109518.
Original: github.com/Jinfu0913/GMNet, without a licence. Parameters with 9 classes: 153,472,410, of which 152,658,272
are used for the classes and 356,066 more for the two heads of training.

Deep maps of both sensors say what is where, and shallow ones say where it ends. Three heads learn three labels: the
classes, the foreground, and the borders between classes. The classes do not depend on the other two heads, nor on the
shallow maps, so these are left out in evaluation mode. The authors published no training code. The class weights of
the two heads stand beside their data set; that the three losses count alike is an assumption.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from cimnet.models.output import Auxiliary, Output
from cimnet.models.registry import register_network
from cimnet.models.zoo.detail_aggregation import DETAIL_NAMES, DetailAggregation, double
from cimnet.models.zoo.network import InputStatistics, ZooNetwork
from cimnet.models.zoo.official_names import Renames
from cimnet.models.zoo.publication import ChannelOrder, Publication, Score
from cimnet.models.zoo.resnet import RENAMES as TRUNK_NAMES
from cimnet.models.zoo.resnet import resnet_pair

STATISTICS = InputStatistics(thermal_mean=(0.449,), thermal_std=(0.226,))
WIDTH = 64
"""Channels of everything behind the deep fusion."""
FOREGROUND_WEIGHTS, BOUNDARY_WEIGHTS = (1.5121, 10.2388), (1.4459, 23.7228)
"""Of the heads' two classes in the loss, as the original has them for MFNet: 1 / ln(1.02 + share of the pixels)."""


def _norm(in_channels: int, channels: int, kernel: tuple[int, int] = (3, 3), dilation: int = 1) -> nn.Sequential:
    """Convolution and batch normalisation at the input's size, without activation."""
    padding = (dilation * (kernel[0] // 2), dilation * (kernel[1] // 2))
    conv = nn.Conv2d(in_channels, channels, kernel, padding=padding, dilation=dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels))


def _conv(in_channels: int, channels: int) -> nn.Sequential:
    """3×3 convolution, batch normalisation, ReLU."""
    return _norm(in_channels, channels).append(nn.ReLU(inplace=True))


class DeepFusion(nn.Module):
    """Fusion of two deep maps: their sum plus their product, through a densely connected block with a residual.

    Args:
        channels: channels of both maps; the result has `WIDTH`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = _conv(channels, channels)
        self.down = nn.Conv2d(channels, WIDTH, 1)
        self.dense = nn.ModuleList(_conv(n * WIDTH, WIDTH) for n in range(1, 5))
        self.gather = _conv(channels + WIDTH, channels)
        self.out = _conv(channels, WIDTH)

    def forward(self, rgb: Tensor, thermal: Tensor) -> Tensor:
        """Two maps (B, C, H, W) to one (B, `WIDTH`, H, W)."""
        mixed = self.mix(rgb + thermal + rgb * thermal)
        dense = _last_of_dense(self.dense, self.down(mixed))
        return self.out(self.gather(torch.cat((mixed, dense), dim=1)) + mixed)


class MultiscaleContext(nn.Module):
    """Context at three scales (CMC): densely connected units of a row, a column and a dilated convolution. The units
    have no activation."""

    def __init__(self) -> None:
        super().__init__()
        inner = WIDTH // 4
        self.down = nn.Conv2d(WIDTH, inner, 1)
        self.units = nn.ModuleList(
            nn.Sequential(
                _norm(n * inner, inner, (1, side)),
                _norm(inner, inner, (side, 1)),
                _norm(inner, inner, dilation=side),
            )
            for n, side in ((1, 3), (2, 5), (3, 7))
        )
        self.fuse = _conv(WIDTH + inner, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """(B, `WIDTH`, H, W) to the same shape."""
        return self.fuse(torch.cat((x, _last_of_dense(self.units, self.down(x))), dim=1))


def _last_of_dense(units: nn.ModuleList, x: Tensor) -> Tensor:
    """Run densely connected units, each on all earlier results and, behind them, the input; give the last result."""
    results: list[Tensor] = []
    for unit in units:
        results.append(unit(torch.cat((*results, x), dim=1)))
    return results[-1]


class Refinement(nn.Module):
    """Three convolutions with a residual around them, each normalised twice before its ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.block1, self.block2, self.block3 = (
            _norm(WIDTH, WIDTH).extend((nn.BatchNorm2d(WIDTH), nn.ReLU(inplace=True))) for _ in range(3)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, `WIDTH`, H, W) to the same shape."""
        return x + self.block3(self.block2(self.block1(x)))


class GMNet(ZooNetwork):
    """See the module.

    Args:
        num_classes: K, the number of classes.
        depth: number of layers of the ResNets; 50 is the published one.
        channel_order: order in which the weights expect the colours, ``rgb`` or ``bgr``. Callers always pass RGB.
        input_scale: factor on height and width in evaluation mode, above 0 and at most 4; 1 for none.
        pretrained: load ImageNet weights into both trunks; the thermal stem takes the mean of the RGB kernels.

    Raises:
        ConfigError: if the ImageNet weights cannot be loaded.
    """

    stride = 32
    renames: ClassVar[Renames] = (
        *TRUNK_NAMES,
        ("densefuse*.dense.fuse_down_mul.basicconv.", "fuse*.mix."),
        ("densefuse*.dense.res_main.down.", "fuse*.down."),
        ("densefuse*.dense.res_main.denseblock.*.basicconv.", "fuse*.dense.*."),
        ("densefuse*.dense.res_main.fuse.basicconv.", "fuse*.gather."),
        ("densefuse*.dense.fuse_main.basicconv.", "fuse*.out."),
        *(
            (f"{theirs}*.{part}", f"{ours}*.{name}")
            for theirs, ours in (("in", "local"), ("gc", "context"))
            for part, name in (
                ("denseblock.*.cov.*.conv.", "units.*.*.0."),
                ("denseblock.*.cov.*.bn.", "units.*.*.1."),
                ("fuse.basicconv.", "fuse."),
                ("", ""),
            )
        ),
        ("tp3.", "skip1."),
        ("tp4.", "skip2."),
        ("tp5.", "skip3."),
        *(
            (f"{theirs}.block*.{part}", f"{ours}.block*.{name}")
            for theirs, ours in (
                *((f"decoder{level}", f"decoder{level}") for level in (5, 4, 3, 2)),
                ("decoder2_withoutup", "decoder_foreground"),
                ("md", "refine_foreground"),
                ("fd", "refine_boundary"),
                ("decoder1", "leftover.decoder1"),
            )
            for part, name in (
                ("0.conv.", "0."),
                ("0.bn.", "1."),
                ("1.", "2."),
            )
        ),
        *((f"lfe*.{theirs}", f"detail*.{ours}") for theirs, ours in DETAIL_NAMES),
        ("classfier1.0.", "classify."),
        ("classfier2.0.", "classify_foreground."),
        ("classfier3.0.", "classify_boundary."),
        *((f"{name}.", f"leftover.{name}.") for name in ("tp1", "tp2", "tpmid", "convb", "ss1", "ss2", "con1")),
        *((f"{name}.", f"leftover.{name}.") for name in ("projectlayer", "classify")),
    )
    unused = ("leftover.",)

    def __init__(
        self,
        num_classes: int,
        *,
        depth: int = 50,
        channel_order: ChannelOrder = "rgb",
        input_scale: float = 1.0,
        pretrained: bool = False,
    ) -> None:
        super().__init__(num_classes, STATISTICS, channel_order, input_scale)
        self.encoder_rgb, self.encoder_thermal = resnet_pair(depth, pretrained)
        stem, shallow, *deep = self.encoder_rgb.channels
        self.fuse1, self.fuse2, self.fuse3 = (DeepFusion(width) for width in deep)
        self.skip1, self.skip2, self.skip3 = (nn.Conv2d(width, WIDTH, 1) for width in deep)
        self.local1, self.local2, self.local3 = (MultiscaleContext() for _ in range(3))
        self.context1, self.context2, self.context3 = (MultiscaleContext() for _ in range(3))
        self.decoder5, self.decoder4, self.decoder3, self.decoder2 = (Refinement() for _ in range(4))
        self.classify = nn.Conv2d(WIDTH, num_classes, 1, bias=False)

        self.detail1, self.detail2 = DetailAggregation(stem, WIDTH), DetailAggregation(shallow, WIDTH)
        self.decoder_foreground, self.refine_foreground, self.refine_boundary = (Refinement() for _ in range(3))
        self.classify_foreground = nn.Conv2d(WIDTH, 2, 1, bias=False)
        self.classify_boundary = nn.Conv2d(WIDTH, 2, 1, bias=False)
        self.leftover = _leftover(num_classes, shallow).requires_grad_(False)

    def forward(self, rgb: Tensor | None, thermal: Tensor | None) -> Output:
        """Images (B, 3, H, W) and (B, 1, H, W) in 0..1, one of them may be None, to
        :class:`cimnet.models.output.Output`; in training mode with the logits of foreground and boundary."""
        return self.all_heads(rgb, thermal) if self.training else self._run(rgb, thermal, auxiliary=False)

    def all_heads(self, rgb: Tensor | None, thermal: Tensor | None) -> Output:
        """Run the model like a call, with the auxiliary heads in every mode."""
        return self._run(rgb, thermal, auxiliary=True)

    def _run(self, rgb: Tensor | None, thermal: Tensor | None, auxiliary: bool) -> Output:
        image, heat, size = self.network_input(rgb, thermal)
        r0, t0 = self.encoder_rgb.stem(image), self.encoder_thermal.stem(heat)
        r, t = self.encoder_rgb.pool(r0), self.encoder_thermal.pool(t0)
        maps = []
        for rgb_layer, thermal_layer in zip(self.encoder_rgb.layers, self.encoder_thermal.layers, strict=True):
            r, t = self.recomputed(rgb_layer)(r), self.recomputed(thermal_layer)(t)
            maps.append((r, t))
        (r1, t1), (r2, t2), (r3, t3), (r4, t4) = maps

        fused = self.recomputed(self.fuse1)(r2, t2)
        g3 = self._context(self.recomputed(self.fuse3)(r4, t4), self.local3, self.skip3(r4), self.context3)
        g2 = self._context(self.recomputed(self.fuse2)(r3, t3), self.local2, self.skip2(r3), self.context2)
        g1 = self._context(fused, self.local1, self.skip1(r2), self.context1)
        x = double(self.recomputed(self.decoder5)(g3))
        x = double(self.recomputed(self.decoder4)(g2 + x))
        quarter = double(self.recomputed(self.decoder3)(g1 + x))
        half = double(self.recomputed(self.decoder2)(quarter))
        output = self.output(double(self.classify(half)), image, size)
        if not auxiliary:
            return output

        shapes = self.recomputed(self.detail2)(r1, t1) + double(fused)
        x = double(shapes * self.recomputed(self.decoder_foreground)(quarter))
        foreground = double(self.classify_foreground(self.recomputed(self.refine_foreground)(x)))
        x = self.recomputed(self.detail1)(r0, t0) * half
        boundary = double(self.classify_boundary(self.recomputed(self.refine_boundary)(x)))
        heads = (
            Auxiliary(self.output(foreground, image, size).logits, 1.0, "foreground", FOREGROUND_WEIGHTS),
            Auxiliary(self.output(boundary, image, size).logits, 1.0, "boundary", BOUNDARY_WEIGHTS),
        )
        return output._replace(auxiliary=heads)

    def _context(self, fused: Tensor, local: nn.Module, skip: Tensor, context: nn.Module) -> Tensor:
        return self.recomputed(context)(self.recomputed(local)(fused) + skip)


def _leftover(num_classes: int, shallow: int) -> nn.ModuleDict:
    """Further weights in the original's files, from versions of the network before the published one."""

    def strips(first: tuple[int, int], second: tuple[int, int]) -> nn.Sequential:
        layers: list[nn.Module] = []
        for _ in range(2):
            convs = (nn.Conv2d(32, 32, kernel, bias=False) for kernel in (first, second))
            layers += [next(convs), nn.Identity(), next(convs), nn.BatchNorm2d(32), nn.Identity()]
        return nn.Sequential(*layers)

    def pair(in_channels: int, channels: int) -> nn.ModuleDict:
        return nn.ModuleDict(
            {"conv": nn.Conv2d(in_channels, channels, 1, bias=False), "bnop": nn.BatchNorm2d(channels)}
        )

    tall, wide = (3, 1), (1, 3)
    classify = {
        "binary_conv1": pair(192, 48),
        "binary_conv2": nn.Conv2d(48, 2, 3),
        "semantic_conv1": pair(192, 192),
        "semantic_conv2": nn.Conv2d(192, num_classes, 3),
        "boundary_conv1": pair(384, 192),
        "boundary_conv2": nn.Conv2d(192, 2, 3),
        "boundary_conv": nn.Sequential(
            nn.Conv2d(384, 192, 1), nn.BatchNorm2d(192), nn.Identity(), nn.Conv2d(192, 2, 3)
        ),
    }
    return nn.ModuleDict(
        {
            "tp1": nn.Conv2d(64, WIDTH, 1),
            "tp2": nn.Conv2d(shallow, WIDTH, 1),
            "tpmid": nn.Conv2d(2 * WIDTH, WIDTH, 1),
            "convb": nn.ModuleDict({"conv": nn.Conv2d(WIDTH, WIDTH, 3, bias=False), "bn": nn.BatchNorm2d(WIDTH)}),
            "ss1": nn.ModuleDict({"branch1": strips(tall, wide), "branch2": strips(wide, tall)}),
            "ss2": nn.ModuleDict({"branch1": strips(tall, wide), "branch2": strips(wide, tall)}),
            "decoder1": Refinement(),
            "con1": nn.Conv2d(3 * WIDTH, WIDTH, 1, bias=False),
            "projectlayer": nn.Conv2d(WIDTH, num_classes, 1),
            "classify": nn.ModuleDict(classify),
        }
    )


@register_network("gmnet_resnet50")
def gmnet_resnet50(
    num_classes: int,
    *,
    channel_order: ChannelOrder = "rgb",
    input_scale: float = 1.0,
    pretrained: bool = False,
) -> GMNet:
    """The published :class:`GMNet`."""
    return GMNet(num_classes, channel_order=channel_order, input_scale=input_scale, pretrained=pretrained)


PUBLICATIONS: dict[str, Publication] = {
    "gmnet_resnet50": Publication(
        network="GMNet (ResNet-50)",
        paper="Zhou, Liu, Lei, Yu, Hwang, IEEE TIP",
        year=2021,
        link="https://doi.org/10.1109/TIP.2021.3109518",
        code="https://github.com/Jinfu0913/GMNet",
        licence="none stated",
        checkpoint="https://pan.baidu.com/s/1RWXgDRAdH70Bx3yRULvgxg (code 6hip)",
        scores={
            "mfnet": Score(57.3, "the paper's table"),
            "pst900": Score(84.12, "the paper's table"),
        },
    )
}
