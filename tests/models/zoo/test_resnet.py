"""The trunks: torchvision's arithmetic, and ImageNet weights as the originals took them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import timm
import torch
from torchvision.models.resnet import resnet18, resnet50

from cimnet.errors import ConfigError
from cimnet.models.zoo.eaefnet import EAEFNet, EAEFNetPST
from cimnet.models.zoo.feanet import FEANet
from cimnet.models.zoo.resnet import ResNetTrunk, resnet_pair
from cimnet.models.zoo.rtfnet import RTFNet


@pytest.mark.parametrize(("depth", "reference"), [(18, resnet18), (50, resnet50)])
def test_a_trunk_is_torchvisions_network(depth: int, reference: Any) -> None:
    network, trunk = reference().eval(), ResNetTrunk(depth).eval()
    state = {name: value for name, value in network.state_dict().items() if not name.startswith("fc.")}
    trunk.load_state_dict(state)
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        x = trunk.stem(image)
        y = network.relu(network.bn1(network.conv1(image)))
        torch.testing.assert_close(x, y, rtol=0, atol=0)
        x, y = trunk.pool(x), network.maxpool(y)
        assert x.shape == (1, trunk.channels[0], 16, 24)
        for n, layer in enumerate(trunk.layers, start=1):
            x, y = layer(x), getattr(network, f"layer{n}")(y)
            assert x.shape[1] == trunk.channels[n]
            torch.testing.assert_close(x, y, rtol=0, atol=0)


def test_pretrained_weights_go_into_both_trunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thermal stem takes the mean of the RGB kernels; ImageNet weights of the first version are asked for."""
    asked = []
    create = timm.create_model

    def fetched(name: str, pretrained: bool = False, **options: Any) -> Any:
        asked.append((name, pretrained))
        return create(name, **options)

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(timm, "create_model", fetched)
    rgb, thermal = resnet_pair(18, pretrained=True)
    assert asked == [("resnet18.tv_in1k", True)]
    torch.testing.assert_close(thermal.conv1.weight, rgb.conv1.weight.mean(1, keepdim=True), rtol=0, atol=0)
    for name, value in thermal.state_dict().items():
        if name != "conv1.weight":
            torch.testing.assert_close(value, rgb.state_dict()[name], rtol=0, atol=0)
    before = copy.deepcopy(rgb.state_dict())
    thermal.bn1.bias.data.add_(1)
    torch.testing.assert_close(rgb.state_dict(), before, rtol=0, atol=0)  # nothing is shared


@pytest.mark.parametrize("network", [RTFNet, FEANet, EAEFNet, EAEFNetPST])
def test_networks_start_from_imagenet_weights_where_asked(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = ResNetTrunk(18).state_dict()
    asked: list[str] = []
    monkeypatch.setattr(
        "cimnet.models.zoo.resnet.imagenet_weights", lambda name: (asked.append(name), copy.deepcopy(weights))[1]
    )
    model = network(4, 18, pretrained=True)
    assert asked == ["resnet18.tv_in1k"]
    for trunk in (model.encoder_rgb, model.encoder_thermal):
        torch.testing.assert_close(trunk.layer4.state_dict(), network_part(weights, "layer4."), rtol=0, atol=0)
    network(4, 18)
    assert len(asked) == 1


def network_part(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The weights of one module."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def test_missing_weights_are_an_error_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(name: str, **options: Any) -> Any:
        raise OSError("the hub does not answer")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(ConfigError, match=r"for encoder 'resnet50\.tv_in1k'.*model\.pretrained=false"):
        resnet_pair(50, pretrained=True)


def test_another_depth_is_refused() -> None:
    with pytest.raises(ValueError, match="depth is 20, choose one of 18, 34, 50, 101, 152"):
        ResNetTrunk(20)
