"""EAEFNet: Explicit Attention-Enhanced Fusion for RGB-Thermal Perception Tasks (semantic segmentation).

M. Liang et al., IEEE Robotics and Automation Letters 8(7), 2023, arXiv 2303.15710. The original code has no licence
file; its README shows an MIT badge.

There are two models. Parameters of the one for MFNet, with 9 classes: 78.0 M (ResNet-50), 147.2 M (152); of the one for
PST900, with 5 classes: 56.9 M (50), 126.2 M (152).

The gate of a channel was meant to be sigmoid(τ rₙ,c tₙ,c). The original's code takes a diagonal over the wrong axes: it
computes sigmoid(τ rₙ,₀ tₙ,c) for one image, and mixes the images of a larger batch. The published scores are those of
one image at a time, so that is the default here, for any batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from cimnet.models.output import Auxiliary, Output
from cimnet.models.registry import register_network
from cimnet.models.zoo.eaefnet_parts import (
    WIDTH,
    Aggregation,
    Context,
    ExplicitFusion,
    Gate,
    SharedNormASPP,
    UseSE,
    conv_norm_relu,
    resize,
)
from cimnet.models.zoo.network import UNSCALED, InputStatistics, ZooNetwork
from cimnet.models.zoo.official_names import Renames
from cimnet.models.zoo.publication import ChannelOrder, Publication, Score
from cimnet.models.zoo.residual_upsampling import up_stage
from cimnet.models.zoo.resnet import RENAMES, register_depths, resnet_pair

BYTES = InputStatistics((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255), (0.0,), (1 / 255,))
"""The model for PST900 takes values in 0..255."""
Heads = Literal["second", "sum"]

_CONTEXTS = {
    **{"rfb2_1": "high.2", "rfb3_1": "high.3", "rfb4_1": "high.4"},
    **{"rfb0_2": "low.0", "rfb1_2": "low.1", "rfb5_2": "low.2"},
}
_CONTEXT_PARTS = (
    ("branch0.0.", "branches.0.0."),
    ("branch*.", "branches.*.0."),
    ("branch*_*.", "branches.*.*."),
    ("se.", "se."),
    ("conv_res.", "shortcut."),
)
_AGGREGATIONS = {"agg1": "head_high", "agg1_splat": "attention"}
_AGGREGATION_PARTS = (
    ("conv_upsample*.", "up*."),
    ("conv_concat*.", "join*."),
    ("conv4.", "mix."),
    ("se.", "se."),
    ("conv.", "project."),
)


def _parts(modules: Mapping[str, str], parts: Renames) -> Iterator[tuple[str, str]]:
    for theirs, ours in modules.items():
        for part, own_part in parts:
            yield f"Turbo_decoder.{theirs}.{part}", f"{ours}.{own_part}"


_RENAMES: Renames = (
    *((f"FA_encoder.{theirs}", ours) for theirs, ours in RENAMES),
    ("FA_encoder.idam_*.T_c", "fusions.*.temperature"),
    ("FA_encoder.idam_*.dwconv.", "fusions.*.mix."),
    ("FA_encoder.idam_*.cse.", "fusions.*.channel_weights."),
    ("FA_encoder.idam_*.sse_r.conv1.", "fusions.*.spatial_rgb."),
    ("FA_encoder.idam_*.sse_t.conv1.", "fusions.*.spatial_thermal."),
    *_parts(_CONTEXTS, _CONTEXT_PARTS),
    *_parts(_AGGREGATIONS, _AGGREGATION_PARTS),
    ("Turbo_decoder.miniaspp.conv_*.", "aspp.convs.*."),
    ("Turbo_decoder.miniaspp.", "aspp."),
    ("Turbo_decoder.agant*.", "smooth*."),
    ("Turbo_decoder.deconv*.", "up*."),
    ("Turbo_decoder.out2_conv.", "classify."),
)


class EAEFNet(ZooNetwork):
    """The model for MFNet.

    In evaluation the logits are the sum of two heads. In training they are those of the first; the second is
    auxiliary, and its loss has the same weight.

    Args:
        num_classes: K, the number of classes.
        depth: number of layers of the ResNets.
        gate: ``image`` for gates of each image alone, as in the published evaluation; ``batch`` for those of the
            original's training, where an image's logits depend on the others of the batch, which holds at most 64.
        use_se: weigh the channels in the aggregations of the decoder. The original does not, though it has the layers.
            Its authors advise elsewhere to train with them and to evaluate without: that is ``training``.
        pretrained: ImageNet weights for both ResNets, see :func:`cimnet.models.zoo.resnet.resnet_pair`.
        channel_order: order in which the weights expect the colours, ``rgb`` or ``bgr``. Callers always pass RGB.
        input_scale: factor on height and width in evaluation mode, above 0 and at most 4; 1 for none.

    Raises:
        ConfigError: if the ImageNet weights cannot be loaded.
        ValueError: if an argument is not valid.
    """

    stride = 32
    renames: ClassVar[Renames] = (("FA_encoder.idam_*.mlp_pool.", "fusions.*.describe.0."), *_RENAMES)
    image_statistics: ClassVar[InputStatistics] = UNSCALED
    shared_descriptor: ClassVar[bool] = True
    has_aspp: ClassVar[bool] = True

    def __init__(
        self,
        num_classes: int,
        depth: int = 152,
        *,
        gate: Gate = "image",
        use_se: UseSE = False,
        channel_order: ChannelOrder = "rgb",
        input_scale: float = 1.0,
        pretrained: bool = False,
    ) -> None:
        super().__init__(num_classes, self.image_statistics, channel_order, input_scale)
        if gate not in ("image", "batch"):
            raise ValueError(f"gate is '{gate}', choose image or batch")
        if use_se not in (False, True, "training"):
            raise ValueError(f"use_se is '{use_se}', choose false, true or training")
        self.unused = () if use_se else tuple(f"{name}.se." for name in _AGGREGATIONS.values())
        self.encoder_rgb, self.encoder_thermal = resnet_pair(depth, pretrained)
        channels = self.encoder_rgb.channels
        self.fusions = nn.ModuleList(ExplicitFusion(c, self.shared_descriptor, gate) for c in channels)
        self.high = nn.ModuleDict({str(k): Context(channels[k]) for k in (2, 3, 4)})
        self.low = nn.ModuleDict({str(k): Context(channels[k]) for k in (0, 1, 2)})
        self.attention = Aggregation(1, use_se)
        self.head_high = Aggregation(num_classes, use_se)
        self.aspp = SharedNormASPP() if self.has_aspp else nn.Identity()
        self.smooth1, self.up1 = conv_norm_relu(), up_stage(WIDTH, WIDTH, 3)
        self.smooth2, self.up2 = conv_norm_relu(), up_stage(WIDTH, WIDTH, 3)
        self.classify = nn.Conv2d(WIDTH, num_classes, 1)

    def encode(self, image: Tensor, heat: Tensor) -> list[Tensor]:
        """The RGB stream after each fusion: at 1/4, 1/4, 1/8, 1/16 and 1/32."""
        r, t = (net.pool(net.stem(x)) for net, x in ((self.encoder_rgb, image), (self.encoder_thermal, heat)))
        r, t = self.recomputed(self.fusions[0])(r, t)
        features = [r]
        layers = zip(self.encoder_rgb.layers, self.encoder_thermal.layers, self.fusions[1:], strict=True)
        for rgb_layer, thermal_layer, fusion in layers:
            r, t = self.recomputed(fusion)(self.recomputed(rgb_layer)(r), self.recomputed(thermal_layer)(t))
            features.append(r)
        return features

    def sum_of_contexts(self, features: list[Tensor], h2: Tensor, h3: Tensor, h4: Tensor) -> Tensor:
        """The large maps, weighted by what the small ones show, plus the small ones: (B, 64, h/4, w/4)."""
        attention = torch.sigmoid(self.recomputed(self.attention)(h4, h3, h2))
        doubled = 1 + resize(attention, 2)
        l0 = self.recomputed(self.low["0"])(features[0] * doubled)
        l1 = self.recomputed(self.low["1"])(features[1] * doubled)
        l2 = self.recomputed(self.low["2"])(features[2] * (1 + attention))
        return resize(l2 + h2, 2) + l1 + resize(h3, 4) + l0 + resize(h4, 8)

    def forward(self, rgb: Tensor | None, thermal: Tensor | None) -> Output:
        """See :class:`cimnet.models.RGBTModel`."""
        image, heat, size = self.network_input(rgb, thermal)
        features = self.encode(image, heat)
        h2, h3, h4 = (self.recomputed(self.high[str(k)])(features[k]) for k in (2, 3, 4))
        total = self.recomputed(self.aspp)(self.sum_of_contexts(features, h2, h3, h4))
        y = self.recomputed(self.up1)(self.recomputed(self.smooth1)(total))
        y = self.recomputed(self.up2)(self.recomputed(self.smooth2)(y))
        return self.from_heads(self.classify(y), (h4, h3, h2), image, size)

    def from_heads(
        self, low: Tensor, maps: tuple[Tensor, Tensor, Tensor], image: Tensor, size: tuple[int, int]
    ) -> Output:
        """The second head's logits (B, K, h, w) and those that the first one makes of the maps at 1/32, 1/16, 1/8."""
        high = self.first_head(maps)
        if not self.training:
            return self.output(high + low, image, size)
        second = self.output(low, image, size).logits
        return self.output(high, image, size)._replace(auxiliary=(Auxiliary(second),))

    def first_head(self, maps: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Logits (B, K, h, w) of the maps at 1/32, 1/16 and 1/8."""
        return resize(self.recomputed(self.head_high)(*maps), 8)


class EAEFNetPST(EAEFNet):
    """The model for PST900; the arguments are those of :class:`EAEFNet` without ``use_se``: it always weighs channels.

    In training, the logits are those of the second head and the first head is auxiliary; the original's weights are 0.4
    for the first and 0.5 for the second. It resizes images and labels to 480×640 before it trains and evaluates.

    Args:
        heads: which heads give the logits in evaluation: ``second``, as in the script that gives the published score,
            or ``sum``, as in the tests during the original's training.
    """

    renames: ClassVar[Renames] = (
        ("FA_encoder.idam_*.mlp_pool_rgb.", "fusions.*.describe.0."),
        ("FA_encoder.idam_*.mlp_pool_t.", "fusions.*.describe.1."),
        *_RENAMES,
    )
    image_statistics: ClassVar[InputStatistics] = BYTES
    shared_descriptor: ClassVar[bool] = False
    has_aspp: ClassVar[bool] = False

    def __init__(
        self,
        num_classes: int,
        depth: int = 152,
        *,
        gate: Gate = "image",
        heads: Heads = "second",
        channel_order: ChannelOrder = "rgb",
        input_scale: float = 1.0,
        pretrained: bool = False,
    ) -> None:
        if heads not in ("second", "sum"):
            raise ValueError(f"heads is '{heads}', choose second or sum")
        super().__init__(
            num_classes,
            depth,
            gate=gate,
            use_se=True,
            channel_order=channel_order,
            input_scale=input_scale,
            pretrained=pretrained,
        )
        self.heads = heads

    def from_heads(
        self, low: Tensor, maps: tuple[Tensor, Tensor, Tensor], image: Tensor, size: tuple[int, int]
    ) -> Output:
        """See :meth:`EAEFNet.from_heads`."""
        if not self.training:
            return self.output(low + self.first_head(maps) if self.heads == "sum" else low, image, size)
        output = self.output(low, image, size)
        first = self.output(self.first_head(maps), image, size).logits
        return output._replace(auxiliary=(Auxiliary(first, weight=0.4 / 0.5),))


_PUBLISHED = partial(
    Publication,
    paper="Liang et al., IEEE RA-L 8(7)",
    year=2023,
    link="https://arxiv.org/abs/2303.15710",
    code="https://github.com/FreeformRobotics/EAEFNet",
    licence="none (the README shows an MIT badge)",
)
PUBLICATIONS = {
    "eaefnet_resnet50": _PUBLISHED("EAEFNet-50"),
    "eaefnet_resnet152": _PUBLISHED(
        "EAEFNet-152",
        checkpoint="https://drive.google.com/drive/folders/12ONwVaaO35VbW7rZ83P-pSVWp_bFiPhv",
        scores={"mfnet": Score(58.91, "the original's README")},
    ),
    "eaefnet_pst_resnet50": _PUBLISHED("EAEFNet-50 (PST900)"),
    "eaefnet_pst_resnet152": _PUBLISHED(
        "EAEFNet-152 (PST900)",
        checkpoint="https://drive.google.com/drive/folders/1Czm7vtmaW6fTCk4fBAfO2OAWoHrJry9Z",
        scores={"pst900": Score(85.56, "the original's README, at 480×640")},
    ),
}
register_depths("eaefnet", EAEFNet, (50, 152))
register_depths("eaefnet_pst", EAEFNetPST, (50, 152))
register_network("small_eaefnet_resnet18")(partial(EAEFNet, depth=18))  # for comparisons; nobody published it
