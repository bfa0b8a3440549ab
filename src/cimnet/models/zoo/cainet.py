"""CAINet: context-aware interaction network for RGB-T semantic segmentation, with MobileNet-V2.

Lv, Liu and Li, IEEE Transactions on Multimedia 26, 2024, doi 10.1109/TMM.2023.3349072, arXiv 2401.01624.
Original: github.com/YingLv1106/CAINet, Apache-2.0. Parameters with 9 classes: 13,796,091, of which 9,461,931 are used;
the paper says 12.16 M.

As in the original code, this is the network behind the published scores. The heads that its training adds
(global context, one for each sensor, masks and boundaries) were never published; here the network trains with its one
output.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import MobileNet_V2_Weights, MobileNetV2, mobilenet_v2

from cimnet.models.output import Output
from cimnet.models.registry import register_network
from cimnet.models.zoo.detail_aggregation import DETAIL_NAMES, DetailAggregation, double
from cimnet.models.zoo.imagenet import load_imagenet
from cimnet.models.zoo.network import InputStatistics, ZooNetwork
from cimnet.models.zoo.official_names import Renames
from cimnet.models.zoo.publication import ChannelOrder, Publication, Score

STATISTICS = InputStatistics(thermal_mean=(0.449,) * 3, thermal_std=(0.226,) * 3)
ENDS = (0, 4, 7, 11, 14, 17)
"""Where MobileNet-V2's layers are cut: the maps have 24 channels at 1/4, 32 at 1/8, then 64, 96 and 160 at 1/16."""


def _conv(in_channels: int, channels: int, kernel: int, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, kernel, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU6(inplace=True),
    )


def _mix(in_channels: int, channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, channels, 1, bias=False)


def _trunk(pretrained: bool) -> MobileNetV2:
    """MobileNet-V2 that ends at 1/16: the last stages keep their resolution and are dilated instead."""
    network = mobilenet_v2()
    if pretrained:
        load_imagenet(network, MobileNet_V2_Weights.IMAGENET1K_V1)
    for dilation, layers in ((2, network.features[11:14]), (4, network.features[14:17])):
        for layer in layers:
            depthwise = layer.conv[1][0]
            depthwise.stride = (1, 1)
            depthwise.padding = depthwise.dilation = (dilation, dilation)
    network.features[17:].requires_grad_(False)
    network.classifier.requires_grad_(False)
    return network


class ComplementaryReasoning(nn.Module):
    """Context-aware complementary reasoning (CACR): a graph over channels, between both sensors' maps of a level.

    Pixels are projected onto N nodes, the nodes exchange what they hold, and their states go back to the pixels::

        V = θ(x) φ(x)ᵀ / L,  V' = V + ReLU(W_n V),  U = ReLU(W_c V'ᵀ)
        out = x + W_o reshape(θ(x)ᵀ Uᵀ)

    The last product is (L, S), pixels by channels; the original reads its memory as (S, H, W) without a transposition,
    which mixes positions and channels. Its weights were trained that way, so it is kept.

    Args:
        channels: C of both maps together; N = C/4 and S = C/2.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        nodes, states = channels // 4, channels // 2
        self.theta, self.phi = _mix(channels, nodes), _mix(channels, states)
        self.node_conv = nn.Conv1d(nodes, nodes, 1, bias=False)
        self.channel_conv = nn.Conv1d(states, states, 1, bias=False)
        self.out = _mix(states, channels)

    def forward(self, rgb: Tensor, thermal: Tensor) -> Tensor:
        """Two maps (B, C/2, H, W) to one (B, C, H, W)."""
        x = torch.cat((rgb, thermal), dim=1)
        height, width = x.shape[2:]
        assignment = self.theta(x).flatten(2)  # (B, N, L)
        states = self.phi(x).flatten(2)  # (B, S, L)
        nodes = assignment @ states.transpose(-2, -1) / (height * width)
        nodes = nodes + F.relu(self.node_conv(nodes))
        nodes = F.relu(self.channel_conv(nodes.transpose(-2, -1)))  # (B, S, N)
        pixels = assignment.transpose(-2, -1) @ nodes.transpose(-2, -1)  # (B, L, S)
        mixed = pixels.flatten(1).view(-1, nodes.shape[1], height, width)  # flat first: torch.export asks nothing then
        return x + self.out(mixed)


class GlobalContext(nn.Module):
    """Global context modelling (GCM): affinities between channels of all deep levels, refined by a graph::

    A = softmax(θ(x) ρ(x)ᵀ),  A' = A + W_n A,  out = O + ReLU(W_c A'ᵀ) O  with O = ω(x)
    """

    def __init__(self, in_channels: int, channels: int = 128) -> None:
        super().__init__()
        self.omega, self.theta, self.rho = (_mix(in_channels, channels) for _ in range(3))
        self.node_conv = nn.Conv1d(channels, channels, 1, bias=False)
        self.channel_conv = nn.Conv1d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, ``channels``, H, W)."""
        origin = self.omega(x)
        affinity = (self.theta(x).flatten(2) @ self.rho(x).flatten(2).transpose(-2, -1)).softmax(-1)
        affinity = affinity + self.node_conv(affinity)
        affinity = F.relu(self.channel_conv(affinity.transpose(-2, -1)))
        return origin + (affinity @ origin.flatten(2)).view_as(origin)


class AuxiliaryRefinement(nn.Module):
    """Auxiliary refinement (ARLM): a level's map, refined by the results of the level above.

    Args:
        channels: channels of this level's map and of both results.
        previous: channels of the first map from above.
        high: channels of the second map from above.
        doubled: the maps from above have half this level's size.
    """

    def __init__(self, channels: int, previous: int, high: int, doubled: bool = False) -> None:
        super().__init__()
        self.doubled = doubled
        together = channels + previous + high
        self.views = nn.ModuleList(_conv(together, channels, 3, dilation) for dilation in (1, 2, 4))
        self.merge = _conv(3 * channels, channels, 1)
        self.gate = _conv(high, channels, 1)

    def forward(self, low: Tensor, previous: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Maps of this level and from above to the refined map, without and with what came from above added."""
        if self.doubled:
            previous, high = double(previous), double(high)
        x = torch.cat((low, previous, high), dim=1)
        refined = self.merge(torch.cat([view(x) for view in self.views], dim=1))
        high = self.gate(high)
        refined = refined * high
        return refined, refined + high


class CAINet(ZooNetwork):
    """See the module.

    Args:
        num_classes: K, the number of classes.
        channel_order: order in which the weights expect the colours, ``rgb`` or ``bgr``. Callers always pass RGB.
        input_scale: factor on height and width in evaluation mode, above 0 and at most 4; 1 for none.
        pretrained: load ImageNet weights into both trunks, as the original did.

    Raises:
        ConfigError: if the ImageNet weights cannot be loaded.
    """

    stride = 16
    extra_allowed: ClassVar[bool] = True
    renames: ClassVar[Renames] = (
        ("mobile_rgb.", "encoder_rgb."),
        ("mobile_dep.", "encoder_thermal."),
        ("Glore*.conv_2.", "cacr*.out."),
        ("Glore*.", "cacr*."),
        ("CRRM.omg.", "gcm.omega."),
        ("CRRM.ori.", "gcm.rho."),
        ("CRRM.", "gcm."),
        *((f"lfe*.{theirs}", f"detail*.{ours}") for theirs, ours in DETAIL_NAMES),
        *(
            (f"arm*.{theirs}.{part}.", f"arlm*.{ours}.{index}.")
            for theirs, ours in (
                *((f"dilation_conv{n + 1}", f"views.{n}") for n in range(3)),
                ("conv1", "merge"),
                ("high_out", "gate"),
            )
            for index, part in enumerate(("conv", "bn"))
        ),
        ("classifier_Z1.0.conv.", "head.0."),
        ("classifier_Z1.0.bn.", "head.1."),
        ("classifier_Z1.2.", "classify."),
    )
    unused = tuple(
        f"encoder_{stream}.{part}."
        for stream in ("rgb", "thermal")
        for part in ("features.17", "features.18", "classifier")
    )

    def __init__(
        self,
        num_classes: int,
        *,
        channel_order: ChannelOrder = "rgb",
        input_scale: float = 1.0,
        pretrained: bool = False,
    ) -> None:
        super().__init__(num_classes, STATISTICS, channel_order, input_scale)
        self.encoder_rgb, self.encoder_thermal = _trunk(pretrained), _trunk(pretrained)
        self.cacr5, self.cacr4, self.cacr3 = (ComplementaryReasoning(2 * width) for width in (160, 96, 64))
        self.gcm = GlobalContext(320 + 192 + 128)
        self.detail2, self.detail1 = DetailAggregation(32), DetailAggregation(24)
        self.arlm4 = AuxiliaryRefinement(192, 320, 128)
        self.arlm3 = AuxiliaryRefinement(128, 192, 192)
        self.arlm2 = AuxiliaryRefinement(64, 128, 128, doubled=True)
        self.arlm1 = AuxiliaryRefinement(64, 64, 64, doubled=True)
        self.head = _conv(64, 64, 3)
        self.classify = nn.Conv2d(64, num_classes, 1)

    def forward(self, rgb: Tensor | None, thermal: Tensor | None) -> Output:
        """Images (B, 3, H, W) and (B, 1, H, W) in 0..1, one of them may be None, to
        :class:`cimnet.models.output.Output`."""
        image, heat, size = self.network_input(rgb, thermal)
        r1, r2, r3, r4, r5 = self._maps(self.encoder_rgb, image)
        t1, t2, t3, t4, t5 = self._maps(self.encoder_thermal, heat)
        c5, c4, c3 = self.cacr5(r5, t5), self.cacr4(r4, t4), self.cacr3(r3, t3)
        context = self.gcm(torch.cat((c5, c4, c3), dim=1))
        refined = self.recomputed(self.arlm4)(c4, c5, context)
        refined = self.recomputed(self.arlm3)(c3, *refined)
        refined = self.recomputed(self.arlm2)(self.detail2(r2, t2), *refined)
        refined = self.recomputed(self.arlm1)(self.detail1(r1, t1), *refined)
        logits = double(self.classify(double(self.head(refined[1]))))
        return self.output(logits, image, size)

    def _maps(self, trunk: MobileNetV2, x: Tensor) -> list[Tensor]:
        maps = []
        for begin, end in pairwise(ENDS):
            x = self.recomputed(trunk.features[begin:end])(x)
            maps.append(x)
        return maps


register_network("cainet_mobilenet_v2")(CAINet)

PUBLICATIONS: dict[str, Publication] = {
    "cainet_mobilenet_v2": Publication(
        network="CAINet (MobileNet-V2)",
        paper="Lv, Liu, Li, IEEE TMM",
        year=2024,
        link="https://doi.org/10.1109/TMM.2023.3349072",
        code="https://github.com/YingLv1106/CAINet",
        licence="Apache-2.0",
        checkpoint="https://drive.google.com/drive/folders/1dX7frPekYnw1nR9rwnbwZkcdC6Zj2gLT",
        scores={
            "mfnet": Score(58.6, "the code's repository", chosen_on_test=True),
            "pst900": Score(84.74, "the code's repository"),
        },
    )
}
