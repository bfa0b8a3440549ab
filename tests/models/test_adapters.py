"""Frozen encoders and their adapters: what is trained, what stays, and that the start is the pretrained network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

from cimnet.checkpoint import ModelInfo, load_checkpoint, save_checkpoint
from cimnet.errors import ConfigError
from cimnet.models import RGBTModel, create_model
from cimnet.models.adapters import adapt_encoder
from cimnet.models.complexity import count_trained, describe_trained
from cimnet.models.encoder import create_encoder
from tests.fakes.small_timm import small_networks

from .tester import SMALL, images

if not timm.is_model("vit_small_patch16_dinov3"):
    pytest.skip("this timm has no DINOv3", allow_module_level=True)

FROZEN: dict[str, Any] = {"freeze": True}
BOTTLENECK = FROZEN | {"adapter": "bottleneck", "adapter_width": 4}
LORA = FROZEN | {"adapter": "lora", "adapter_width": 2}
TRANSFORMERS = ("test_vit", "vit_small_patch16_dinov3", "eva02_tiny_patch14_224", "swinv2_tiny_window8_256", "mit_b0")
EVERY = (*TRANSFORMERS, "sam2_hiera_tiny", "hiera_tiny_224", "resnet10t")


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    with small_networks():
        yield


def _build(encoder: str, options: dict[str, Any], family: str = "cimnet") -> RGBTModel:
    return create_model(f"{family}_{encoder}", 3, **SMALL, encoder_options=options)


def _step(model: RGBTModel) -> None:
    """One step of training on all that is trained."""
    output = model.train()(*images(2, (64, 64)))
    (output.logits.square().mean() + output.mutual_information).backward()
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1).step()


@pytest.mark.parametrize(
    ("encoder", "options"),
    [(name, BOTTLENECK) for name in EVERY] + [(name, LORA) for name in TRANSFORMERS] + [("resnet10t", FROZEN)],
    ids=str,
)
def test_the_start_is_the_pretrained_network(encoder: str, options: dict[str, Any]) -> None:
    plain = create_encoder(encoder).eval()
    for parameter in plain.parameters():  # scales that start near zero would hide a change
        nn.init.normal_(parameter, std=0.2)
    adapted = create_encoder(encoder).eval()
    adapted.load_state_dict(plain.state_dict())
    adapt_encoder(adapted, options)
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        before = plain(image)
        for ours, wanted in zip(adapted(image), before, strict=True):
            torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-5)  # layouts in memory differ
        for name, parameter in adapted.named_parameters():
            if parameter.requires_grad and "up" in name.split(".")[-2:]:
                nn.init.normal_(parameter, std=0.5)
    if "adapter" in options:
        with torch.no_grad():
            assert all((ours - wanted).abs().max() > 1e-3 for ours, wanted in zip(adapted(image), before, strict=True))


@pytest.mark.parametrize("options", [FROZEN, BOTTLENECK, LORA], ids=["frozen", "bottleneck", "lora"])
def test_training_changes_what_is_not_frozen(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = _build("vit_small_patch16_dinov3", options)
    for write_back in (*model.write_back_rgb, *model.write_back_thermal):
        nn.init.normal_(write_back.back.weight, std=0.1)
    names = {name for name, p in model.named_parameters() if p.requires_grad}
    kept = {name: p.clone() for name, p in model.named_parameters() if not p.requires_grad}
    inside = {name for name in names if name.startswith("encoder_")}
    assert bool(inside) == ("adapter" in options)
    assert all("adapters" in name or "parametrizations" in name for name in inside)
    assert all(name.startswith("encoder_") for name in kept)
    _step(model)
    for name, parameter in model.named_parameters():
        if name in names:
            assert parameter.grad is not None, name
        else:
            assert parameter.grad is None, name
            torch.testing.assert_close(parameter, kept[name], rtol=0, atol=0)
    changed = [name for name, p in model.named_parameters() if name in inside and p.grad.any()]
    assert bool(changed) == bool(inside)


def test_a_frozen_encoder_stays_in_evaluation_mode() -> None:
    """No batch statistics: its buffers are those of pretraining after training, too."""
    model = _build("resnet10t", FROZEN)
    before = {name: value.clone() for name, value in model.encoder_rgb.named_buffers()}
    _step(model)
    assert model.training
    assert model.decoder.training
    assert not any(module.training for module in model.encoder_rgb.modules())
    assert before
    assert all(torch.equal(value, before[name]) for name, value in model.encoder_rgb.named_buffers())
    trained = create_model("cimnet_resnet10t", 3, **SMALL).train()
    assert trained.encoder_rgb.training


def test_the_fourth_channel_of_a_frozen_encoder_is_frozen() -> None:
    model = _build("test_vit", FROZEN, "early_fusion")
    assert not any(parameter.requires_grad for parameter in model.encoder.parameters())


@pytest.mark.parametrize("options", [BOTTLENECK, LORA], ids=["bottleneck", "lora"])
def test_checkpoint_round_trip(options: dict[str, Any], tmp_path: Path) -> None:
    model = _build("vit_small_patch14_reg4_dinov2", options)
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    stored = {**SMALL, "encoder_options": options}
    info = ModelInfo("cimnet_vit_small_patch14_reg4_dinov2", stored, ("a", "b", "c"), ((0, 0, 0),) * 3)
    save_checkpoint(tmp_path / "model.safetensors", model, info)
    loaded, found = load_checkpoint(tmp_path / "model.safetensors")
    assert found.options["encoder_options"] == options
    assert count_trained(loaded) == count_trained(model)
    pair = images(1, (48, 80))
    with torch.inference_mode():
        torch.testing.assert_close(loaded(*pair).logits, model.eval()(*pair).logits, rtol=0, atol=0)


def test_gradient_checkpointing_changes_nothing() -> None:
    model = _build("test_vit", LORA)
    pair = images(2, (64, 64))
    gradients = []
    for checkpointing in (False, True, "light"):
        model.zero_grad()
        model.checkpointing = checkpointing
        torch.manual_seed(0)
        model.train()(*pair).logits.square().mean().backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
    for again in gradients[1:]:
        assert again.keys() == gradients[0].keys()
        for name, gradient in gradients[0].items():
            torch.testing.assert_close(again[name], gradient, rtol=1e-4, atol=1e-6)


def test_what_is_trained_is_counted() -> None:
    whole = create_model("cimnet_test_vit", 3, **SMALL)
    assert count_trained(whole) == sum(p.numel() for p in whole.parameters())
    frozen = _build("test_vit", FROZEN)
    encoders = sum(p.numel() for p in (*frozen.encoder_rgb.parameters(), *frozen.encoder_thermal.parameters()))
    assert count_trained(frozen) == count_trained(whole) - encoders
    bottleneck = _build("test_vit", BOTTLENECK)
    each = 2 * 64 + 64 * 4 + 4 + 4 * 64 + 64  # norm, down, up
    assert count_trained(bottleneck) - count_trained(frozen) == 2 * 6 * each  # two encoders of six blocks
    lora = _build("test_vit", LORA)
    assert count_trained(lora) - count_trained(frozen) == 2 * 6 * 2 * (64 + 3 * 64)
    total = sum(p.numel() for p in lora.parameters())
    assert describe_trained(lora) == (
        f"training changes {count_trained(lora) / 1e6:.2f} M of {total / 1e6:.2f} M parameters"
    )


@pytest.mark.parametrize(
    ("encoder", "options", "reason"),
    [
        ("resnet10t", LORA, "no attention"),
        ("test_vit", {"adapter": "lora"}, "freeze: true"),
        ("test_vit", FROZEN | {"adapter": "dora"}, "dora.*bottleneck or lora"),
        ("test_vit", BOTTLENECK | {"adapter_width": 0}, "adapter_width is 0"),
        ("test_vit", {"frozen": True}, "frozen"),
    ],
    ids=str,
)
def test_bad_options(encoder: str, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        _build(encoder, options)
    assert "\n" not in str(caught.value)
