"""RTFNet: RGB-Thermal Fusion Network for Semantic Segmentation of Urban Scenes.

Y. Sun, W. Zuo, M. Liu, IEEE Robotics and Automation Letters 4(3), 2019. The original code is under the MIT licence.
Parameters with 9 classes: 31.0 M (ResNet-18), 51.2 M (34), 185.2 M (50), 223.2 M (101), 254.5 M (152).

The logits have passed a ReLU, as in the original, so none is negative and a pixel where all are zero is class 0.
The paper says that the thermal stem starts at random; the original's code takes the mean of the RGB stem's kernels.

Any size runs. At sides that 32 does not divide, the original's logits reach up to 31 pixels beyond the image, below and
to the right, and its code does not say what becomes of them. Here they are cropped.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from torch import Tensor, nn

from cimnet.models.output import Output
from cimnet.models.zoo.network import UNSCALED, ZooNetwork
from cimnet.models.zoo.official_names import Renames
from cimnet.models.zoo.publication import ChannelOrder, Publication, Score
from cimnet.models.zoo.residual_upsampling import up_stage
from cimnet.models.zoo.resnet import RENAMES, register_depths, resnet_pair

DEPTHS = (18, 34, 50, 101, 152)


class RTFNet(ZooNetwork):
    """Two ResNets; the thermal stream is added to the RGB stream after the stem and after every layer.

    Args:
        num_classes: K, the number of classes.
        depth: number of layers of the ResNets: 18, 34, 50, 101 or 152.
        pretrained: ImageNet weights for both, see :func:`cimnet.models.zoo.resnet.resnet_pair`.
        channel_order: order in which the weights expect the colours, ``rgb`` or ``bgr``. Callers always pass RGB.
        input_scale: factor on height and width in evaluation mode, above 0 and at most 4; 1 for none.

    Raises:
        ConfigError: if the ImageNet weights cannot be loaded.
        ValueError: if the depth or another argument is not valid.
    """

    renames: ClassVar[Renames] = (*RENAMES, ("deconv*.", "decoder.stage*."))

    def __init__(
        self,
        num_classes: int,
        depth: int = 152,
        *,
        channel_order: ChannelOrder = "rgb",
        input_scale: float = 1.0,
        pretrained: bool = False,
    ) -> None:
        super().__init__(num_classes, UNSCALED, channel_order, input_scale)
        self.encoder_rgb, self.encoder_thermal = resnet_pair(depth, pretrained)
        self.decoder = decoder(self.encoder_rgb.channels[-1], num_classes)

    def fuse(self, stage: int, rgb: Tensor, thermal: Tensor) -> tuple[Tensor, Tensor]:
        """Both streams after the stem (``stage`` 0) or after layer 1 to 4, (B, C, h, w): the input of each stream's
        next layer.

        Only the RGB stream gets the sum.
        """
        return rgb + thermal, thermal

    def forward(self, rgb: Tensor | None, thermal: Tensor | None) -> Output:
        """See :class:`cimnet.models.RGBTModel`."""
        image, heat, size = self.network_input(rgb, thermal)
        x, t = self.fuse(0, self.encoder_rgb.stem(image), self.encoder_thermal.stem(heat))
        x, t = self.encoder_rgb.pool(x), self.encoder_thermal.pool(t)
        layers = zip(self.encoder_rgb.layers, self.encoder_thermal.layers, strict=True)
        for stage, (rgb_layer, thermal_layer) in enumerate(layers, start=1):
            x, t = self.fuse(stage, self.recomputed(rgb_layer)(x), self.recomputed(thermal_layer)(t))
        for up in self.decoder.values():
            x = self.recomputed(up)(x)
        return self.output(x, image, size)


def decoder(channels: int, num_classes: int) -> nn.ModuleDict:
    """Five stages, ``stage1`` to ``stage5``: each doubles height and width and halves the channels, the last one gives
    ``num_classes``."""
    widths = [*(channels >> n for n in range(5)), num_classes]
    return nn.ModuleDict({f"stage{n + 1}": up_stage(widths[n], widths[n + 1]) for n in range(5)})


_PUBLISHED = partial(
    Publication,
    paper="Sun, Zuo, Liu, IEEE RA-L 4(3)",
    year=2019,
    link="https://doi.org/10.1109/LRA.2019.2904733",
    code="https://github.com/yuxiangsun/RTFNet",
    licence="MIT",
)
PUBLICATIONS = {
    "rtfnet_resnet18": _PUBLISHED("RTFNet-18"),
    "rtfnet_resnet34": _PUBLISHED("RTFNet-34"),
    "rtfnet_resnet50": _PUBLISHED(
        "RTFNet-50",
        checkpoint="http://gofile.me/4jm56/9VygmBgPR",
        scores={"mfnet": Score(51.7, "the paper's Table III")},
    ),
    "rtfnet_resnet101": _PUBLISHED("RTFNet-101"),
    "rtfnet_resnet152": _PUBLISHED(
        "RTFNet-152",
        checkpoint="http://gofile.me/4jm56/ODE2fxJKG",
        scores={"mfnet": Score(53.2, "the paper's Table III")},
    ),
}
register_depths("rtfnet", RTFNet, DEPTHS)
