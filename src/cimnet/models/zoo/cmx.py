"""CMX: Cross-Modal Fusion for RGB-X Semantic Segmentation with Transformers.

Zhang, Liu, Yang, Hu, Liu, Stiefelhagen, IEEE T-ITS 2023, arXiv 2203.04838. The original's licence is MIT. Parameters
with 9 classes: 66.57 M (MiT-B2), 139.86 M (B4), 181.06 M (B5).

Differs from the paper where its code does: the blocks of stage 2 share one drop path rate.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import torch
from timm.layers import DropPath
from torch import nn

from cimnet.models.encoder import create_encoder
from cimnet.models.registry import register_network
from cimnet.models.zoo.network import IMAGENET
from cimnet.models.zoo.official_names import Renames
from cimnet.models.zoo.publication import ChannelOrder, Publication, Score
from cimnet.models.zoo.rectified import SHARED_NAMES, RectifiedStreams, blocks_of, draw_weights, mit_names

DROP_PATH = 0.1


class CMX(RectifiedStreams):
    """CMX: a MiT encoder per sensor; FRM and FFM after each stage; the MLP head of SegFormer.

    Args:
        encoder: ``mit_b0`` … ``mit_b5``, of both streams.
        num_classes: K, the number of classes.
        channel_order: order in which the weights expect the colours, ``rgb`` or ``bgr``. Callers always pass RGB.
        input_scale: factor on height and width in evaluation mode, above 0 and at most 4; 1 for none.
        pretrained: ImageNet weights for both encoders.
        head_eps: epsilon of the head's batch normalisation. The original trains with 1e-3 and evaluates with 1e-5.
        embedding: number of channels inside the head.

    Raises:
        ConfigError: the ImageNet weights cannot be loaded.
    """

    renames: ClassVar[Renames] = (
        *mit_names("backbone.extra_", "encoder_thermal"),
        *mit_names("backbone.", "encoder_rgb"),
        ("decode_head.linear_fuse.", "decoder.mix."),
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
        head_eps: float = 1e-5,
        embedding: int = 512,
    ) -> None:
        super().__init__(
            create_encoder(encoder, pretrained),
            create_encoder(encoder, pretrained),
            num_classes,
            IMAGENET,
            mix_bias=True,
            head_eps=head_eps,
            embedding=embedding,
            channel_order=channel_order,
            input_scale=input_scale,
        )
        self._set_drop_paths()
        for module in (self.rectify, self.fuse):
            draw_weights(module)
        for layer in (self.decoder.mix[0], self.decoder.classify):
            nn.init.kaiming_normal_(layer.get_parameter("weight"), nonlinearity="relu")

    def _set_drop_paths(self) -> None:
        """Set the drop path rates: in stage 2 all blocks of a stream have one rate, those of the next blocks after
        stage 1; elsewhere it rises from block to block, as in the encoders."""
        depths = [len(blocks) for blocks in blocks_of(self.encoder_rgb)]
        rates = torch.linspace(0, DROP_PATH, sum(depths), device="cpu").tolist()
        for encoder, rate in ((self.encoder_rgb, rates[depths[0]]), (self.encoder_thermal, rates[depths[0] + 1])):
            for block in blocks_of(encoder)[1]:
                block.drop_path = DropPath(rate)


_CODE = "https://github.com/huaaaliu/RGBX_Semantic_Segmentation"
_PUBLISHED = partial(
    Publication,
    paper="Zhang et al., IEEE T-ITS",
    year=2023,
    link="https://arxiv.org/abs/2203.04838",
    code=_CODE,
    licence="MIT",
)
PUBLICATIONS: dict[str, Publication] = {
    "cmx_mit_b2": _PUBLISHED(
        "CMX-B2",
        checkpoint="https://drive.google.com/file/d/1wtWxUgDk1N1QOhiGhUavBNc1_Bv9gzOM/view",
        scores={"mfnet": Score(58.2, "README of the code", chosen_on_test=True)},
    ),
    "cmx_mit_b4": _PUBLISHED(
        "CMX-B4",
        checkpoint="none offered for RGB and thermal",
        scores={"mfnet": Score(59.7, "README of the code", chosen_on_test=True)},
    ),
    "cmx_mit_b5": _PUBLISHED("CMX-B5", checkpoint="none offered for RGB and thermal"),
}

for _depth in (2, 4, 5):
    register_network(f"cmx_mit_b{_depth}")(partial(CMX, f"mit_b{_depth}"))
register_network("small_cmx_mit_b0")(partial(CMX, "mit_b0", embedding=256))
