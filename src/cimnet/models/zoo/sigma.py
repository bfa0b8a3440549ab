"""Sigma: one Mamba encoder for both sensors, cross and concat scans between them, a Mamba decoder.

Wan, Zhang, Wang, Yong, Stepputtis, Sycara, Xie: "Sigma: Siamese Mamba network for multi-modal semantic segmentation",
WACV 2025 (arXiv 2404.04256). Original code: MIT licence. Parameters with 9 classes: tiny 48,287,360, small 69,811,328,
base 121,414,820.

Two things are in the original code but not in the paper: its images have the channel order blue, green, red, while the
statistics are those of red, green, blue by position; and its optimiser leaves the scans' own parameters (13 % of tiny)
as they are initialised. Here all parameters learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from cimnet.errors import ConfigError
from cimnet.models.output import Output
from cimnet.models.registry import register_network
from cimnet.models.zoo.network import IMAGENET, ZooNetwork
from cimnet.models.zoo.official_names import to_ours
from cimnet.models.zoo.publication import ChannelOrder, Publication, Score
from cimnet.models.zoo.sigma_parts import STATES, Decoder, Encoder
from cimnet.models.zoo.ss2d import ConcatMamba, CrossMamba, halves


class Sigma(ZooNetwork):
    """The network.

    Args:
        num_classes: K, the number of classes.
        channel_order: order in which the weights expect the colours, ``rgb`` or ``bgr`` (the official
            ones). Callers always pass RGB.
        input_scale: factor on height and width in evaluation mode, above 0 and at most 4; 1 for none.
        width: channels of the first stage, at least 8.
        depths: blocks of the encoder's stages.
        drop_path: stochastic depth of the encoder's last block.
    """

    least = 4
    renames = (
        ("backbone.vssm.patch_embed.0.", "encoder.embed."),
        ("backbone.vssm.patch_embed.2.", "encoder.embed_norm."),
        ("backbone.vssm.layers.*.blocks.*.op.", "encoder.stages.*.*.mixer."),
        ("backbone.vssm.layers.*.blocks.*.", "encoder.stages.*.*."),
        ("backbone.vssm.layers.*.downsample.", "encoder.merging.*."),
        ("backbone.vssm.outnorm*.", "encoder.norms.*."),
        ("backbone.cross_mamba.*.op.CMA_ssm.", "cross.*.scan."),
        ("backbone.cross_mamba.*.op.", "cross.*."),
        ("backbone.channel_attn_mamba.*.op.", "concat.*."),
        ("decode_head.layers_up.*.blocks.*.op.", "decoder.layers.*.blocks.*.mixer."),
        ("decode_head.layers_up.*.blocks.*.conv_blk.cab.", "decoder.layers.*.blocks.*.local."),
        ("decode_head.layers_up.", "decoder.layers."),
        ("decode_head.norm_up.", "decoder.norm."),
        ("decode_head.up.", "decoder.up."),
        ("decode_head.output.", "decoder.classify."),
    )

    def __init__(
        self,
        num_classes: int,
        channel_order: ChannelOrder = "rgb",
        input_scale: float = 1.0,
        width: int = 96,
        depths: Sequence[int] = (2, 2, 9, 2),
        drop_path: float = 0.2,
    ) -> None:
        super().__init__(num_classes, IMAGENET, channel_order, input_scale)
        if width < 8:
            raise ValueError(f"width is {width}, expected at least 8")
        self.encoder = Encoder(width, depths, drop_path)
        widths = [width * 2**stage for stage in range(4)]
        self.cross = nn.ModuleList(CrossMamba(wide, STATES) for wide in widths)
        self.concat = nn.ModuleList(ConcatMamba(wide, STATES) for wide in widths)
        self.decoder = Decoder(width, num_classes)

    def forward(self, rgb: Tensor | None, thermal: Tensor | None) -> Output:
        """See :class:`cimnet.models.RGBTModel`."""
        rgb, thermal, size = self.network_input(rgb, thermal)
        streams = self.encoder(torch.cat((rgb, thermal)), self.recomputed)  # one encoder for both
        maps = []
        for both, cross, concat in zip(streams, self.cross, self.concat, strict=True):
            pair = self.recomputed(cross)(*halves(both, rgb.shape[0]))
            maps.append(self.recomputed(concat)(*pair))
        return self.output(self.decoder(maps, self.recomputed), rgb, size)

    def load_vmamba(self, state: Mapping[str, Tensor]) -> None:
        """Load the encoder's ImageNet weights, as the first version of VMamba names them. The norms of the stages'
        results are not among them, and its classifier is left out.

        Raises:
            ConfigError: if a name or shape is that of another network.
        """
        own = {to_ours(name, VMAMBA): value for name, value in state.items() if not name.startswith(("norm.", "head."))}
        expected = {name: value for name, value in self.encoder.state_dict().items() if not name.startswith("norms.")}
        given, wanted = ({(name, value.shape) for name, value in state.items()} for state in (own, expected))
        wrong = sorted({name for name, _ in given ^ wanted})
        if wrong:
            raise ConfigError(
                f"these are not the ImageNet weights of this encoder: '{wrong[0]}' does not fit ({len(wrong)} of "
                f"{len(expected)} do not); take the file of the same variant from the authors' repository"
            )
        self.encoder.load_state_dict(own, strict=False)


VMAMBA = (
    ("patch_embed.proj.", "embed."),
    ("patch_embed.norm.", "embed_norm."),
    ("layers.*.blocks.*.ln_1.", "stages.*.*.norm."),
    ("layers.*.blocks.*.self_attention.", "stages.*.*.mixer."),
    ("layers.*.downsample.", "merging.*."),
)
"""Names of weights in the files of VMamba, and in :class:`Encoder`."""


def _publication(variant: str, mfnet: tuple[float, str], pst900: tuple[float, str] | None) -> Publication:
    drive = "https://drive.google.com/file/d/{}/view"
    scores = {"mfnet": mfnet[0], **({"pst900": pst900[0]} if pst900 else {})}
    files = {"MFNet": mfnet[1], **({"PST900": pst900[1]} if pst900 else {})}
    return Publication(
        network=f"Sigma-{variant}",
        paper="Wan et al., WACV",
        year=2025,
        link="https://arxiv.org/abs/2404.04256",
        code="https://github.com/zifuwan/Sigma",
        licence="MIT",
        checkpoint=", ".join(f"{data} {drive.format(key)}" for data, key in files.items()),
        channel_order="bgr",
        scores={data: Score(miou, "the authors' repository", chosen_on_test=True) for data, miou in scores.items()},
    )


PUBLICATIONS: dict[str, Publication] = {
    "sigma_tiny": _publication(
        "T", (60.2, "1N9UU9G5K8qxKsZOuEzSLiCGXC5XCaMaU"), (88.6, "1Qx_alwSmxj_8TqCO0RD6VQvhcwp-RQ-e")
    ),
    "sigma_small": _publication(
        "S", (61.1, "1heHnyvDTSa2oYxAD5wcgpIY3OZ198Cr2"), (87.8, "1iHL0fLtV7F2s7tm_OrCq7vsqYJPuIF6q")
    ),
    "sigma_base": _publication("B", (61.3, "1an6pqLeEYHZZLOmfyY8A3ooKP8ZVMU93"), None),
}


def _register(name: str, width: int, depths: tuple[int, int, int, int], drop_path: float) -> None:
    @register_network(name)
    def build(
        num_classes: int, *, channel_order: ChannelOrder = "rgb", input_scale: float = 1.0, pretrained: bool = False
    ) -> Sigma:
        if pretrained:
            raise ConfigError(
                f"no ImageNet weights for the encoder of {name}: its authors offer them as a file only; set "
                "model.pretrained=false, or load that file with Sigma.load_vmamba"
            )
        return Sigma(num_classes, channel_order, input_scale, width, depths, drop_path)


_register("sigma_tiny", 96, (2, 2, 9, 2), 0.2)
_register("sigma_small", 96, (2, 2, 27, 2), 0.3)
_register("sigma_base", 128, (2, 2, 27, 2), 0.6)
_register("small_sigma", 32, (1, 1, 2, 1), 0.1)  # for comparisons; nobody published it
